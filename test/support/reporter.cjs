const Mocha = require('mocha');

/** Mocha's own report for people; the counts go to test/run.mjs, which prints them last. */
module.exports = class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      process.send?.({ passes: this.stats.passes, failures: this.stats.failures });
      // Nothing that the tests opened is left: from here on only Node itself is at work.
      process.once('beforeExit', () => process.send?.('drained'));
    });
  }
};
