import Sequencer from '@jest/test-sequencer';

const LAST = /\/storm\.spec\.ts$/;

/** The storm takes all processors that there are: it comes last, when it takes them from hardly anybody. */
export default class extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [
      ...sorted.filter(({ path }) => !LAST.test(path)),
      ...sorted.filter(({ path }) => LAST.test(path)),
    ];
  }
}
