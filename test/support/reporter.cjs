const Mocha = require('mocha');

/** Mocha's own report for people; the counts go to test/run.mjs, which prints them last. */
module.exports = class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      process.send?.({ passes: this.stats.passes, failures: this.stats.failures });
    });
  }
};
