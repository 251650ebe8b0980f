import Sequencer from '@jest/test-sequencer';

const LAST = /\/storm\.spec\.ts$/;

/** The storm uses all processors, so it runs last, when it disturbs few other tests. */
export default class extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [
      ...sorted.filter(({ path }) => !LAST.test(path)),
      ...sorted.filter(({ path }) => LAST.test(path)),
    ];
  }
}
