import { setTimeout as delay } from 'node:timers/promises';
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

/** How long a request waits for an unreachable database before it reports this, in ms. Hides only short outages. */
const RECONNECT_MS = 2_000;
/** How often one request may lose the database and continue. A higher limit would hide an unstable database. */
const MAX_LOSSES = 5;
/**
 * How many races the reserve of one request may lose. In each, another request won; more than this is a fault.
 */
const MAX_RACES = 100;

/** The state of one request between its steps. Safety does not depend on it. */
export class Progress {
  claim: Claim | undefined;
  /** Whether the reserve was tried. From then on, the record is read first. */
  begun = false;
  /** Whether this reserve has sent a statement that writes. If only BEGIN was lost, nothing was written. */
  sent = false;
  /** Whether a reserve may have committed without an acknowledgement. */
  private inDoubt = false;
  private loss: { error: unknown; since: number } | undefined;
  private losses = 0;
  private races = 0;
  private polls = 0;

  constructor(
    readonly request: KeyedRequest,
    private readonly waitUntil: number,
    private readonly pause: (ms: number) => Promise<void> = delay,
  ) {}

  /** Without a claim, a record is ours only if the acknowledgement of our reserve was lost. */
  owns(record: IdempotencyRecord): boolean {
    return this.claim
      ? record.epoch === this.claim.epoch
      : record.epoch === 1 && record.request_id === this.request.requestId;
  }

  /**
   * Pauses before the next poll, without a connection or a transaction. The pause grows from 20 ms to 250 ms, for quick
   * answers and few queries.
   */
  async waitForHolder(draining: boolean): Promise<void> {
    const left = this.waitUntil - performance.now();
    if (left <= 0 || draining) throw new IdempotencyRequestInProgress();
    const pauseMs = Math.min(20 * 1.5 ** this.polls++, 250) * (0.75 + Math.random() / 2);
    await this.pause(Math.min(pauseMs, left));
  }

  /** Notes whether a failed reserve may have committed. */
  reserveFailed(error: unknown): void {
    if (this.sent && isConnectionLost(error) && wasSent(error)) this.inDoubt = true;
  }

  /** Waits through a short outage of the database; reports a long one. @throws the error for the client. */
  async waitOutLoss(error: unknown): Promise<void> {
    this.loss = { error, since: this.loss?.since ?? performance.now() };
    const tooLong = performance.now() - this.loss.since > RECONNECT_MS;
    // PostgreSQL rolled back and there is no claim: the client can start again. A read-only session has been closed
    // by now, and the next session may be able to write.
    const rolledBack = isRolledBack(error) && !isReadOnly(error) && !this.claim;
    if (tooLong || rolledBack) throw this.lost(error);
    await delay(100);
  }

  /**
   * Called when the record was read again and has no answer. @throws the error for the client, after too many losses.
   */
  databaseIsBack(): void {
    if (!this.loss) return;
    const { error } = this.loss;
    this.loss = undefined;
    if (++this.losses > MAX_LOSSES) throw this.lost(error);
  }

  /** Limits the races: a reserve that violates a constraint other than its own id would repeat forever. */
  raced(cause: unknown): void {
    if (++this.races <= MAX_RACES) return;
    throw new Error('the reserve loses every race, but no object has its id', { cause });
  }

  keyOutcome({ replayed }: { replayed: boolean }): KeyOutcome {
    if (replayed) return this.polls > 0 ? 'waited' : 'replayed';
    return this.claim && this.claim.epoch > 1 ? 'recovered' : 'executed';
  }

  /** Undefined for any other error of a request without a claim: it was refused, or failed through our own fault. */
  keyOutcomeOfError(error: unknown): KeyOutcome | undefined {
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
