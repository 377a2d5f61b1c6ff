/** Preloaded into a program (`node --import`): its clock is wrong by so many milliseconds. Time passes as it does. */
const byMs = Number(process.env.OUTRIGGER_TEST_CLOCK_WRONG_BY);
const RightDate = Date;

globalThis.Date = class WrongDate extends RightDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RightDate.now() + byMs] : given));
  }

  static now() {
    return RightDate.now() + byMs;
  }
};
