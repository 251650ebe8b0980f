import type { Scenario, Verdict } from '../run.js';
import type { Stage } from '../program/stage.js';

/** A story: what the page, the terminal and the tests know of it, and what happens. */
export interface Play extends Scenario {
  /** Which lanes it needs. */
  tracks: ('keyed' | 'naive')[];
  /** @returns the verdict, from the processor's ledger. */
  play(stage: Stage): Promise<Verdict>;
}
