import type { RuleName } from '../checker/check.js';
import type { Kind } from '../purposes.js';

/** One edit of one source. The text must occur exactly once. */
export interface Patch {
  file: string;
  text: string;
  replacement: string;
}

/** A plausible bug, and the rules that must find it. */
export interface Bug {
  name: string;
  patches: Patch[];
  /** The cells, by name, that the campaign repeats. None: the collisions of the workload suffice. */
  cells?: string[];
  /** Three of four keys are for this. */
  mostly?: Kind;
  /** One of these must be among the broken rules. */
  foundBy: RuleName[];
}
