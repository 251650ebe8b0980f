// The journal of a run: JSON lines that API, worker and lab write. Data only: service and program both import it.

/** Which program writes the line. `local` is the supervisor of `npm start`. */
export type Writer = 'api' | 'worker' | 'lab' | 'local';

/** The members of every line. */
export interface LineHead {
  /** Milliseconds since 1970, with fractions. The order of the lines is authoritative, not this. */
  at: number;
  pid: number;
  writer: Writer;
  /** The account of a run's track; absent in lines about a process. */
  account?: string;
  /** The client's attempt, from 1, if the client numbers its attempts. */
  attempt?: number;
}

export type LineBody =
  | {
      kind: 'request';
      method: string;
      path: string;
      key?: string;
      bytes: string;
      fault?: string;
      lost?: true;
    }
  | { kind: 'body'; key?: string; text: string }
  | { kind: 'response'; status: number; replayed: boolean; bytes: string; lost?: true }
  | { kind: 'point'; point: string; operation: string; id: string }
  | { kind: 'statement'; sql: string; parameters: string[]; frames: string[] }
  | { kind: 'committed'; text: string; frames: string[] }
  | { kind: 'rolled-back'; text: string }
  | { kind: 'nothing-written'; text: string }
  | { kind: 'lease'; id: string; epoch?: number; untilMs: number; over?: true }
  | {
      kind: 'call';
      method: string;
      path: string;
      key?: string;
      to: 'processor' | 'receiver';
      bytes: string;
    }
  | {
      kind: 'answer';
      status?: number;
      error?: string;
      outcome?: string;
      from: 'processor' | 'receiver';
      bytes: string;
    }
  | { kind: 'notification'; type: string; bytes: string; lost?: true }
  | { kind: 'job'; name: string; state: 'begins' | 'ends' | 'fails' }
  | { kind: 'mail'; to: string; subject: string }
  | { kind: 'refused-connection'; method: string; path: string; bytes: string }
  | { kind: 'hang-up'; text: string }
  | { kind: 'knows'; state: 'ok' | 'failed' | 'unknown'; text: string }
  | { kind: 'note'; text: string }
  | { kind: 'process'; program: string; is: ProcessState; point?: string; pid?: number };

export type ProcessState =
  'started' | 'ready' | 'killed' | 'ended' | 'frozen' | 'resumed' | 'delayed';

export type JournalLine = LineHead & LineBody;

export interface Source {
  file: string;
  line: number;
}

/** Ids of the lab's accounts. Every process recognises from the account alone that something belongs to a run. */
export const LAB_ACCOUNT = /^acct_lab[0-9a-v]+$/;

/** Longer bodies are cut, so that one write appends a whole line. */
export const MAX_TEXT = 1_500;
