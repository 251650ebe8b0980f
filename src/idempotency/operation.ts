import { Injectable } from '@nestjs/common';
import type { Queryable, Tx } from './database.js';
import type { ResourceLink } from './errors.js';

/** An answer as it crosses the wire. `body` is text, because a replay is the same bytes, not the same object. */
export interface Answer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** The name of one intent, handed to each beat. */
export interface Intent {
  accountId: string;
  /** The derived id: primary key of the object, and the idempotency key for whoever is called outside. */
  id: string;
  /** Of the request that reserved; stored problems carry it. */
  requestId: string;
}

/**
 * A write of the operation, as data: the engine puts it into the statement that writes the record, so that both commit
 * together, in one round trip.
 */
export interface Write {
  /**
   * Common table expressions without `WITH`, with `$1` to `$n` for `values`. They select from `record` (`account_id`,
   * `resource_id`, `first_seen_at`), which has one row if this attempt may write, and none otherwise. The one named
   * `object` writes the object, in exactly one row.
   */
  sql: string;
  values: readonly unknown[];
}

/** The first beat, made by the handler from a validated request; it touches nothing until the engine runs it. */
export type Plan<Work = unknown> = WritePlan<Work> | TransactionPlan<Work>;

/** A first beat that is one write. Record and object are one statement, which is a transaction of its own. */
export interface WritePlan<Work = unknown> {
  /** Inserts the object without ON CONFLICT: a derived id that is taken must undo the record, too. */
  insert(intent: Intent): Write & {
    /** What the second beat needs. @param createdAt the record's `first_seen_at`. */
    work(createdAt: Date): Work;
  };
}

/** A first beat that needs several statements, or that ends the operation. */
export interface TransactionPlan<Work = unknown> {
  /**
   * Writes the object in the same transaction as the record. An error undoes both, and the key stays unused.
   * @returns `answer` if all is done with this beat, else `work` for the second.
   * @throws ReserveRaced when the derived id is taken, or something it read has changed.
   */
  reserve(tx: Tx, intent: Intent): Promise<{ answer: Answer } | { work: Work }>;
}

/** How the outside call ended. Only `ended: true` may be stored. */
export type Performed<Outcome> =
  | { ended: true; outcome: Outcome }
  | {
      ended: false;
      /** False only if this attempt certainly had no effect outside. */
      inDoubt: boolean;
      /** The error for a client that waits; `inDoubt` is that of all attempts so far. */
      error(inDoubt: boolean, retryAfterSeconds: number): Error;
    };

/**
 * Begins the lease of an attempt anew, for calls that together may take longer than one lease.
 * @returns `leftMs` of the new lease; undefined if another holder has taken over: this attempt stops, and decides nothing.
 */
export type ExtendLease = () => Promise<number | undefined>;

/** The second and third beat. Any process can run them from the rows alone, any number of times. */
export interface OutsideCall<Work = unknown, Outcome = unknown> {
  load(db: Queryable, intent: Intent): Promise<Work>;
  /**
   * Calls outside under `intent.id`. No transaction and no pooled connection is held.
   * @param leftMs when all its calls must have ended, in whole ms from now; perhaps 0. The lease lasts `SETTLE_MS` longer.
   * @param extendLease for reading that has no end within `leftMs`; what is not extended ends with the lease.
   */
  perform(
    work: Work,
    intent: Intent,
    leftMs: number,
    extendLease: ExtendLease,
  ): Promise<Performed<Outcome>>;
  /** The final state, and the answer. Runs once: only the holder of the record's epoch writes. */
  settle(work: Work, outcome: Outcome, intent: Intent): Settlement;
  /** For outcomes that must not be lost, although their attempt lost its claim. */
  late?: LateOutcomes<Work, Outcome>;
}

/**
 * How an outcome is written: as one write, in the statement that completes the record; or by several statements in a
 * transaction, in which the record is locked.
 */
export type Settlement = { answer: Answer; write: Write } | { settle(tx: Tx): Promise<Answer> };

/** What becomes of the outcome of an attempt whose lease was taken over. */
export interface LateOutcomes<Work = unknown, Outcome = unknown> {
  /** Whether the outcome stays true outside, whatever the new holder finds. */
  isIrreversible(outcome: Outcome): boolean;
  /**
   * Called with an irreversible outcome when the object is final already; before that, the outcome itself settles. It
   * must not change the object, and must record what contradicts it.
   */
  report(tx: Tx, work: Work, outcome: Outcome, intent: Intent): Promise<void>;
}

/** The object that an operation makes. */
export interface FoundResource extends ResourceLink {
  /** Whether the object ended without effect, so that a new key may be used. */
  failed: boolean;
  createdAt: Date;
}

/** An operation is a method and a route template; keys belong to it. */
export interface Operation<Work = unknown, Outcome = unknown> {
  /** For example `POST /events/{id}/resend`. Part of the derived id: never rename it. */
  readonly name: string;
  /** For example `inv`: ids are `inv_…`. Part of every id, too. */
  readonly idPrefix: string;
  /** Whether we call it ourselves, under keys that no client can send: a lookup of a client's key skips it. */
  readonly internal?: boolean;
  find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined>;
  /** Absent for operations without one: their work and answer commit together. */
  readonly outside?: OutsideCall<Work, Outcome>;
}

/** All operations of this process, by name. An operation registers itself in its constructor. */
@Injectable()
export class OperationRegistry {
  private readonly operations = new Map<string, Operation>();

  register(operation: Operation): void {
    if (this.operations.has(operation.name))
      throw new Error(`${operation.name} is registered twice`);
    this.operations.set(operation.name, operation);
  }

  find(name: string): Operation | undefined {
    return this.operations.get(name);
  }

  /** @throws Error if this process does not know it. */
  get(name: string): Operation {
    const operation = this.operations.get(name);
    if (!operation) throw new Error(`${name} is not a registered operation`);
    return operation;
  }

  all(): Operation[] {
    return [...this.operations.values()];
  }
}

/**
 * The points that a request passes, in order. Crash tests kill the process at each of them. A beat that is one write has
 * no points within its transaction: the process sends one statement, and dies before or after it. Proof of what the server
 * then makes of it: test/guarantees/crash-in-statement.spec.ts.
 */
export const PROBE_POINTS = [
  'received', // the key is read, nothing is written
  'before-reserve', // validated, nothing is written
  'record-written', // in a TransactionPlan: the record is there, the object is not
  'reserve-written', // in a TransactionPlan: both are there, not committed
  'after-reserve', // committed: a row from which any process can go on
  'before-perform', // the outside call is next
  'after-perform', // the outside call has ended, nothing is written about it
  'settle-written', // in a transaction that settles: state and answer are there, not committed
  'after-settle', // committed: every later request gets the stored answer
  'released', // the attempt ended without an outcome and released its lease
] as const;
export type ProbePoint = (typeof PROBE_POINTS)[number];

/** What became of a request, or of an attempt of the sweep, under its key. */
export type KeyOutcome =
  | 'executed' // this request made the answer
  | 'recovered' // this request or the sweep finished what another attempt had begun
  | 'replayed' // the stored answer, at once
  | 'waited' // the stored answer, after waiting for the winner
  | 'pending' // the attempt ended without an outcome, recovery goes on
  | 'in_progress' // the wait was over
  | 'reused' // another intent under the key
  | 'expired'; // the answer is gone, the object stands

/** Receives what the engine does. Logs, metrics, lab faults and tests use it. */
export abstract class EngineProbe {
  /** The request passes a point. What this throws or awaits happens there. */
  reached(_point: ProbePoint, _intent: Intent & { operation: string }): void | Promise<void> {}
  /** A request or an attempt has ended. */
  ended(_outcome: KeyOutcome, _intent: Intent & { operation: string }): void {}
}

/** Tells the probe no more than it may know: neither the key nor the hashes of the request. */
export async function announce(
  probe: EngineProbe,
  point: ProbePoint,
  { accountId, id, requestId, operation }: Intent & { operation: string },
): Promise<void> {
  await probe.reached(point, { accountId, id, requestId, operation });
}

/** The default. */
@Injectable()
export class SilentProbe extends EngineProbe {}
