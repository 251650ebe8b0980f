import {
  DatabaseUnavailable,
  IdempotencyKeyExpired,
  IdempotencyKeyReused,
  IdempotencyRequestInProgress,
  isConnectionLost,
  isReadOnly,
  isRolledBack,
  OutcomeUnknown,
  wasSent,
} from './errors.js';
import type { KeyOutcome } from './operation.js';
import type { Claim, IdempotencyRecord, KeyedRequest } from './record.entity.js';

/** How long a request retries a lost database before it reports it, in ms: an outage of seconds is not hidden. */
const RECONNECT_MS = 2_000;
/** How often one request continues after the database came back; more would only hide that it comes and goes. */
const MOST_LOSSES = 5;
/** How often one request's reserve may lose a race. Each loss is another request's progress; so many in a row are none. */
const MOST_RACES = 100;

/** What one request remembers between its steps. Safety never rests on it. */
export class Progress {
  claim: Claim | undefined;
  /** Whether the reserve was tried: from then on the record is read first. */
  begun = false;
  /** Whether this try of the reserve has come as far as a statement that writes: a lost BEGIN is certain to do nothing. */
  sent = false;
  /** Whether some reserve may have committed although its acknowledgement was lost. */
  private inDoubt = false;
  private loss: { error: unknown; since: number } | undefined;
  private losses = 0;
  private races = 0;
  private polls = 0;

  constructor(
    readonly request: KeyedRequest,
    private readonly waitUntil: number,
  ) {}

  /** Without a claim a record can only be ours after the acknowledgement of our reserve was lost. */
  owns(record: IdempotencyRecord): boolean {
    return this.claim
      ? record.epoch === this.claim.epoch
      : record.epoch === 1 && record.request_id === this.request.requestId;
  }

  /** One poll: no connection and no transaction is held. 20 ms, growing to 250 ms: quick answers, few queries. */
  async waitForHolder(draining: boolean): Promise<void> {
    const left = this.waitUntil - performance.now();
    if (left <= 0 || draining) throw new IdempotencyRequestInProgress();
    const pause = Math.min(20 * 1.5 ** this.polls++, 250) * (0.75 + Math.random() / 2);
    await sleep(Math.min(pause, left));
  }

  /** After a reserve whose acknowledgement may be missing. */
  reserveFailed(error: unknown): void {
    if (this.sent && isConnectionLost(error) && wasSent(error)) this.inDoubt = true;
  }

  /** Waits out a short loss of the database; reports a long one. @throws the error for the client. */
  async outlast(error: unknown): Promise<void> {
    this.loss = { error, since: this.loss?.since ?? performance.now() };
    const long = performance.now() - this.loss.since > RECONNECT_MS;
    // Without a claim PostgreSQL itself has undone all: the client may as well begin again. A session that has become
    // read-only is closed by now, and the next one may write.
    const undone = isRolledBack(error) && !isReadOnly(error) && !this.claim;
    if (long || undone) throw this.lost(error);
    await sleep(100);
  }

  /** The record could be read again, and holds no answer. @throws the error for the client, after too many losses. */
  databaseIsBack(): void {
    if (!this.loss) return;
    const { error } = this.loss;
    this.loss = undefined;
    if (++this.losses > MOST_LOSSES) throw this.lost(error);
  }

  /** A reserve that violates another unique constraint than that of its own id would repeat for ever. */
  raced(cause: unknown): void {
    if (++this.races <= MOST_RACES) return;
    throw new Error('the reserve is raced each time, but nothing has its id', { cause });
  }

  outcomeOf({ replayed }: { replayed: boolean }): KeyOutcome {
    if (replayed) return this.polls > 0 ? 'waited' : 'replayed';
    return this.claim && this.claim.epoch > 1 ? 'recovered' : 'executed';
  }

  /** Undefined if the key had no part in the error: a refused request, a fault of ours. */
  outcomeOfError(error: unknown): KeyOutcome | undefined {
    if (error instanceof IdempotencyRequestInProgress) return 'in_progress';
    if (error instanceof IdempotencyKeyReused) return 'reused';
    if (error instanceof IdempotencyKeyExpired) return 'expired';
    return this.claim ? 'pending' : undefined;
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
