import { markerOf, type FaultLine, type Journals, type Read, type RecordRow } from '../history.js';

/** One request: when it was invoked and how it ended. */
export interface Attempt {
  n: number;
  account: string;
  key: string;
  operation: string;
  body: string;
  invokedAt: number;
  /** Infinity if the driver never saw it end. */
  endedAt: number;
  outcome: 'ok' | 'fail' | 'unknown';
  status?: number;
  code?: string;
  answer?: string;
}

export interface Fault {
  point: string;
  action: string;
  from: number;
  to: number;
}

/** The first and the last moment, in ms since the epoch. */
export type Span = [from: number, until: number];

/** Whether a fault was active during one of the spans. */
export const overlaps = ({ from, to }: Fault, spans: readonly Span[]) =>
  spans.some(([since, until]) => from <= until && to >= since);

/** All requests under one key of one account, in the order of their invocation. */
export interface KeyHistory {
  account: string;
  key: string;
  marker: string;
  attempts: Attempt[];
}

export interface Digest extends Journals {
  keys: KeyHistory[];
  /** The key histories by marker. */
  keyOf: Map<string, KeyHistory>;
  /** The records by marker. */
  recordOf: Map<string, RecordRow>;
  faults: Fault[];
  reads: Read[];
  healedAt: number | undefined;
}

export function digest(journals: Journals): Digest {
  const attempts = new Map<number, Attempt>();
  const begun = new Map<number, FaultLine>();
  const faults: Fault[] = [];
  const reads: Read[] = [];
  let healedAt: number | undefined;
  for (const line of journals.history) {
    switch (line.what) {
      case 'invoke': {
        const { n, at, account, key, operation, body } = line;
        const open = { invokedAt: at, endedAt: Infinity, outcome: 'unknown' as const };
        attempts.set(n, { n, account, key, operation, body, ...open });
        break;
      }
      case 'read':
        reads.push(line);
        break;
      case 'fault-begin':
        begun.set(line.fault, line);
        break;
      case 'fault-end': {
        const { point, action, at } = begun.get(line.fault) ?? line;
        faults.push({ point, action, from: at, to: line.at });
        begun.delete(line.fault);
        break;
      }
      case 'healed':
        healedAt = line.at;
        break;
      case 'ok':
      case 'fail':
      case 'unknown': {
        const attempt = attempts.get(line.n);
        if (!attempt) throw new Error(`history: request ${line.n} ends and never began`);
        const { at: endedAt, what: outcome, status, code, body: answer } = line;
        Object.assign(attempt, { endedAt, outcome, status, code, answer });
        break;
      }
    }
  }
  for (const { point, action, at } of begun.values())
    faults.push({ point, action, from: at, to: Infinity });
  const keyOf = new Map<string, KeyHistory>();
  for (const attempt of [...attempts.values()].sort((a, b) => a.invokedAt - b.invokedAt)) {
    const { account, key } = attempt;
    const marker = markerOf(account, key);
    const found = keyOf.get(marker) ?? { account, key, marker, attempts: [] };
    found.attempts.push(attempt);
    keyOf.set(marker, found);
  }
  const recordOf = new Map(
    journals.rows.records.map((row) => [markerOf(row.account, row.key), row]),
  );
  return { ...journals, keys: [...keyOf.values()], keyOf, recordOf, faults, reads, healedAt };
}

/** The attempts that got a final answer. */
export const answered = ({ attempts }: Pick<KeyHistory, 'attempts'>) =>
  attempts.filter(({ outcome }) => outcome === 'ok');

/** The problem code of a 409 while another request has the key. */
export const IN_PROGRESS = 'idempotency_request_in_progress';

/**
 * According to the HTTP contract, a refusal and a 503 `database_unavailable` wrote nothing. A 409 for a request in
 * progress may have written: the request that reserved the record also gets it if another process took the record over.
 */
export const mayHaveWritten = ({ outcome, code }: Attempt) =>
  !((outcome === 'fail' && code !== IN_PROGRESS) || code === 'database_unavailable');

/** The requests that may have made a key's objects: those equal to the answered one, or all that may have written. */
export function makersOf({ attempts }: KeyHistory): Attempt[] {
  const first = attempts.find(({ outcome }) => outcome === 'ok');
  return attempts.filter((each) => (first ? isSameRequest(each, first) : mayHaveWritten(each)));
}

/** Whether both are the same request. The driver writes each body in one way, so the texts can be compared. */
export const isSameRequest = (a: Attempt, b: Attempt) =>
  a.operation === b.operation && a.body === b.body;

/** The members of a JSON object; undefined if the text is not JSON. */
export function membersOf(text: string): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

export function groupBy<T>(items: T[], nameOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = nameOf(item);
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}
