// The messages between the lab's program and its page. Data only: both import it, and it imports nothing.

/** A line of the sequence diagram. */
export type Actor =
  'client' | 'api' | 'database' | 'processor' | 'worker' | 'mail' | 'receiver' | 'lab';

/** Which of the two ways of charging an event belongs to: with the key (ours), or the naive one. */
export type Track = 'keyed' | 'naive';

export const EVENT_KINDS = [
  'request', // client to API
  'response', // API to client
  'replay', // a response that was stored before
  'statement', // API or worker to PostgreSQL
  'commit', // a COMMIT, or a statement that is a transaction of its own
  'rollback',
  'call', // to the processor
  'answer', // of the processor
  'notification', // the processor to us
  'job', // the worker takes up what follows from a charge
  'message', // an e-mail, or a webhook delivery
  'point', // a probe point of the engine
  'lease', // a lease begins, ends or is taken over
  'killed',
  'started',
  'frozen',
  'resumed',
  'fault', // of a witness: a fault begins, until `untilMs`, or ends
  'violation', // of a witness: what a checker refuses
  'note',
] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

/** The limit of a run file that the lab opens. The lab's own runs have some hundred KB. */
export const MAX_RUN_BYTES = 4 * 1024 * 1024;

/** One arrow, mark or break of the diagram. */
export interface RunEvent {
  /** Order within the run, from 1. */
  seq: number;
  /** Milliseconds since the run began. */
  atMs: number;
  track: Track;
  kind: EventKind;
  from: Actor;
  /** Equal to `from` for a mark on one line. */
  to: Actor;
  /** One short line. */
  text: string;
  /** The message never arrived: the arrow ends in a cross. */
  lost?: boolean;
  /** The client's attempt that it belongs to, from 1. */
  attempt?: number;
  /** The process id: each start has a new one. */
  pid?: number;
  /** When the lease or the fault ends. */
  untilMs?: number;
  detail?: EventDetail;
}

export interface EventDetail {
  /** The bytes that were sent, as text, with secrets masked. */
  bytes?: string;
  sql?: string;
  parameters?: string[];
  /** The line of our source that caused it. */
  source?: { file: string; line: number };
  /** A curl command that sends the request again. */
  curl?: string;
  /** The faults with which the user may break it: names for `Lab-Fault`. */
  faults?: string[];
}

/** What the client knows of one attempt. */
export interface Knowledge {
  atMs: number;
  track: Track;
  attempt: number;
  state: 'ok' | 'failed' | 'unknown';
  text: string;
}

/** A table beside the diagram, as it was at one moment. */
export interface Rows {
  atMs: number;
  track: Track;
  tables: RowsTable[];
  reconciled: Reconciled;
}

export interface RowsTable {
  /** `idempotency record`, `charge`, `order`, `stock`, `event`, `jobs`, `e-mails`, `payments`. */
  name: string;
  columns: string[];
  rows: string[][];
}

/** The line below the tables, from the processor's ledger and ours. */
export interface Reconciled {
  charges: number;
  payments: number;
  receipts: number;
  /** What the customer paid, in minor units, according to the processor's ledger. */
  paidMinor: number;
}

export interface Verdict {
  /** `Without a key: the customer paid 2 × $19.99. With the key: 1 × $19.99.` */
  sentence: string;
  /** Payments at the processor for this one purchase. */
  payments: Partial<Record<Track, number>>;
  /** For many parallel requests: how many got each answer, by track. */
  answers?: Partial<Record<Track, Record<string, number>>>;
  /** Whether the promise held: false makes the command end with 1. */
  holds: boolean;
  /** For a storm: the id of a run that shows its worst purchase. */
  example?: string;
}

export interface Run {
  id: string;
  scenario: string;
  title: string;
  parameters: Record<string, string | number>;
  startedAt: string;
  state: 'running' | 'ended' | 'failed';
  events: RunEvent[];
  knowledge: Knowledge[];
  rows: Rows[];
  verdict?: Verdict;
}

export type Prediction = '0' | '1' | '2' | 'unknown';

export interface Scenario {
  id: string;
  title: string;
  /** One sentence: what goes wrong. */
  story: string;
  /** The question before the run; `answer` is the correct answer, for the keyed track. */
  question: string;
  answer: Prediction;
  /** Three sentences, shown after the run. */
  explanation: [string, string, string];
  parameters: ScenarioParameter[];
  /** Ids of goals that a run of this scenario can reach. */
  goals: string[];
}

export interface ScenarioParameter {
  name: string;
  label: string;
  /** A choice, or a number in a range. */
  options?: string[];
  min?: number;
  max?: number;
  initial: string | number;
}

export interface Goal {
  id: string;
  title: string;
  hint: string;
}

export type CellVerdict =
  | 'charged once'
  | 'charged twice'
  | 'never charged'
  | 'stuck'
  | 'wrong answer'
  | 'refused'
  | 'not run';

export interface Cell {
  design: string;
  fault: string;
  verdict: CellVerdict;
  /** Whether that is what a correct API does under this fault. */
  correct: boolean;
  payments: number;
  /** One sentence: what happened. */
  because: string;
  /** The id of its run, to be opened as a diagram. */
  run?: string;
}

export interface DesignInfo {
  id: string;
  title: string;
  /** How its author would describe it. */
  idea: string;
  /** The kind of real incident that it shows. */
  incident: string;
  file: string;
  isOurs: boolean;
}

export interface FaultInfo {
  id: string;
  title: string;
  story: string;
  /** The verdict of a correct API. */
  expected: CellVerdict;
}

/** A `StormTick` as the lab's program sends it: with the state of the processor's ledger. */
export interface StormEvent extends StormTick {
  /** Milliseconds since the storm began. */
  atMs: number;
  /** Payments at the processor: `ours` with a key, `naive` without. */
  ours: number;
  naive: number;
}

/** One attempt of a storm has ended. */
export interface StormTick {
  client: number;
  purchase: number;
  track: Track;
  attempt: number;
  /** 0 if there was no answer. */
  status: number;
  /** The fault of this attempt; empty if none. */
  fault: string;
  believed: Knowledge['state'];
}
