/**
 * Preloaded into a program (`node --import`): at SIGUSR2 its clocks have moved on by a minute, as after a
 * minute in which nothing was asked. Timers do not notice.
 */
const MINUTE_MS = 60_000;
let ahead = 0;
const [now, elapsed] = [Date.now.bind(Date), performance.now.bind(performance)];
Date.now = () => now() + ahead;
performance.now = () => elapsed() + ahead;
process.on('SIGUSR2', () => {
  ahead += MINUTE_MS;
});
