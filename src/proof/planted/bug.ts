import type { RuleName } from '../checker/check.js';
import type { Kind } from '../purposes.js';

/** One edit of one source file. The text must occur exactly once. */
export interface Patch {
  file: string;
  text: string;
  replacement: string;
}

/** A plausible bug, and the rules that must find it. */
export interface Bug {
  name: string;
  patches: Patch[];
  /** The cells, by name, that the campaign repeats. Absent: the collisions of the workload suffice. */
  cells?: string[];
  /** About three of four keys are of this kind. */
  mostly?: Kind;
  /** How long its campaign may last, if the usual time often ends before the faults meet. */
  ms?: number;
  /** One of these must be among the broken rules. */
  foundBy: RuleName[];
}
