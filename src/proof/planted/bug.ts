import type { RuleName } from '../checker/check.js';

/** One edit of one source. The text must occur exactly once. */
export interface Patch {
  file: string;
  text: string;
  replacement: string;
}

/** A bug that someone could write, and what must find it. */
export interface Bug {
  name: string;
  patches: Patch[];
  /** The cells, by name, that the campaign repeats. None: the collisions of the workload suffice. */
  cells?: string[];
  /** One of these must be among the broken rules. */
  foundBy: RuleName[];
}
