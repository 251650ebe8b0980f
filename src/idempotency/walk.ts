import {
  DatabaseUnavailable,
  IdempotencyKeyExpired,
  IdempotencyKeyReused,
  IdempotencyRequestInProgress,
  isConnectionLost,
  isReadOnly,
  isRolledBack,
  OutcomeUnknown,
  type ReserveRaced,
} from './errors.js';
import type { Answer, KeyOutcome, Plan } from './operation.js';
import type { Claim, IdempotencyRecord, KeyedRequest } from './records.js';

/** An answer and where it came from. */
export interface Result {
  answer: Answer;
  expiresAt: Date;
  /** True unless this very request made the answer. */
  replayed: boolean;
  /** Of the request that reserved. */
  originalRequestId: string;
}

/** What a step of the way has found. */
export type Seen =
  | { kind: 'answered'; result: Result }
  | { kind: 'claimed'; claim: Claim; work?: unknown }
  | { kind: 'found'; record: IdempotencyRecord }
  | { kind: 'held' }
  /** The attempt ended without an outcome, and the lease is given back. */
  | { kind: 'open'; error: Error }
  | { kind: 'absent' };

/** The answer that a completed record stores. */
export function resultOf(record: IdempotencyRecord, replayed: boolean): Result {
  const { response_status, response_headers, response_body, expires_at } = record;
  if (response_status === null || !response_headers || response_body === null || !expires_at) {
    throw new Error('a completed record without its answer'); // the CHECK constraint forbids it
  }
  return {
    answer: { status: response_status, headers: response_headers, body: response_body },
    expiresAt: expires_at,
    replayed,
    originalRequestId: record.request_id,
  };
}

/** How long a lost database is asked again before the client is told, in ms: a failover of seconds is not hidden. */
const RECONNECT_MS = 2_000;
/** How often one request goes on after the database came back; more would only hide that it comes and goes. */
const MOST_LOSSES = 5;
/** How often one request's reserve may lose a race; each loss is another's progress, so that many in a row are none. */
const MOST_RACES = 100;

/** What one request remembers on its way; safety never rests on it. */
export class Walk {
  claim: Claim | undefined;
  /** Whether this attempt's reserve may have reached the database. */
  sent = false;
  /** Whether some reserve may have committed although its acknowledgement was lost. */
  private inDoubt = false;
  private losses = 0;
  private races = 0;
  private polls = 0;
  private lostSince: number | undefined;

  constructor(
    readonly request: KeyedRequest,
    readonly plan: Plan | Error,
    private readonly waitUntil: number,
  ) {}

  /** One poll: no connection and no transaction is held. 20 ms, growing to 250 ms: quick answers, few queries. */
  async waitForTheWinner(draining: boolean): Promise<void> {
    const left = this.waitUntil - performance.now();
    if (left <= 0 || draining) throw new IdempotencyRequestInProgress();
    const pause = Math.min(20 * 1.5 ** this.polls++, 250) * (0.75 + Math.random() / 2);
    await sleep(Math.min(pause, left));
  }

  outcome({ replayed }: Result): KeyOutcome {
    if (replayed) return this.polls > 0 ? 'waited' : 'replayed';
    return this.claim && this.claim.epoch > 1 ? 'recovered' : 'executed';
  }

  /** Undefined for what the key had no part in: a refused request, a fault of ours. */
  outcomeOf(error: unknown): KeyOutcome | undefined {
    if (error instanceof IdempotencyRequestInProgress) return 'in_progress';
    if (error instanceof IdempotencyKeyReused) return 'reused';
    if (error instanceof IdempotencyKeyExpired) return 'expired';
    return this.claim ? 'pending' : undefined;
  }

  /** Waits out a short loss of the database; a long one is told to the client. */
  async outlast(error: unknown): Promise<void> {
    if (isConnectionLost(error)) this.inDoubt ||= this.sent;
    this.lostSince ??= performance.now();
    const long = performance.now() - this.lostSince > RECONNECT_MS;
    // Without a claim PostgreSQL itself has undone all: the client may as well begin again. A session that has become
    // read-only is closed by now, and the next one may write.
    const undone = isRolledBack(error) && !isReadOnly(error) && !this.claim;
    if (long || undone) throw this.lost(error);
    await sleep(100);
  }

  /** A reserve that meets another unique constraint, and takes it for its own id, would go round for ever. */
  raced(cause: ReserveRaced): void {
    if (++this.races <= MOST_RACES) return;
    throw new Error('the reserve is raced each time, but nothing stands under its id', { cause });
  }

  /** The record could be read again, and holds no answer. */
  backAgain(error: unknown): void {
    this.lostSince = undefined;
    if (++this.losses > MOST_LOSSES) throw this.lost(error);
  }

  private lost(cause: unknown): Error {
    return this.inDoubt || this.claim
      ? new OutcomeUnknown({ cause })
      : new DatabaseUnavailable({ cause });
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A perform that throws is a fault of ours. Wrapped, because an error of its own network is not one of the database. */
export function failedToPerform(cause: unknown): never {
  throw new Error('the second beat failed', { cause });
}
