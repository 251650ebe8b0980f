import type { RunEvent } from '../run.js';

/** A host's command-line argument, as JSON. */
export interface HostOptions {
  databaseUrl: string;
  sandboxPort: number;
  /** Connections of each design. */
  poolSize: number;
  /** The file to which the host appends a line for each step. */
  journal: string;
  /** 0: any free port. */
  port: number;
}

/** A host is listening, or the request `run.attempt` waits at its point. */
export type HostMessage = { port: number } | { held: string };

/** A line of the journal. */
export interface HostEvent extends Omit<RunEvent, 'seq' | 'atMs' | 'track'> {
  run: string;
  attempt: number;
  /** Milliseconds since 1970. */
  at: number;
}
