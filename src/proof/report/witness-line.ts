import type { Knowledge, RunEvent } from '../../lab/run.js';

/** A line of the diagram before it has a number. `at` is in ms since the epoch. */
export type Drawn = Omit<RunEvent, 'seq' | 'atMs' | 'track' | 'untilMs'> & {
  at: number;
  until?: number;
  knows?: Pick<Knowledge, 'state' | 'text'>;
};
