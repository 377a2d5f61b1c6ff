/** Preloaded into a program (`node --import`): at SIGUSR2 a promise of its own is rejected and nobody looks. */
process.on('SIGUSR2', () => {
  void Promise.reject(new Error('nobody expected this', { cause: new TypeError('the actual cause') }));
});
