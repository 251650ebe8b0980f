import { Injectable } from '@nestjs/common';
import type { Queryable, Tx } from './database.js';
import type { ResourceLink } from './errors.js';

/** A response as it is sent. `body` is text, because a replay must be the same bytes, not only the same object. */
export interface Answer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** The identity of one intent, passed to each beat. */
export interface Intent {
  accountId: string;
  /** The derived id: primary key of the object, and the idempotency key for the service that is called. */
  id: string;
  /** The id of the request that reserved; stored problems contain it. */
  requestId: string;
}

/**
 * A write of the operation, as data: the engine adds it to the statement that writes the record. Both commit
 * together, in one round trip.
 */
export interface Write {
  /**
   * Common table expressions without `WITH`, with `$1` to `$n` for `values`. They select from `record` (`account_id`,
   * `resource_id`, `first_seen_at`), which has one row if this attempt may write, and otherwise none. The expression
   * named `object` writes exactly one row: the object.
   */
  sql: string;
  values: readonly unknown[];
}

/** The first beat. The handler builds it from a validated request; it does nothing until the engine runs it. */
export type Plan<Work = unknown> = WritePlan<Work> | TransactionPlan<Work>;

/** A first beat that is one write. One statement, and so one transaction, writes record and object. */
export interface WritePlan<Work = unknown> {
  /** Inserts the object without ON CONFLICT: if the derived id is taken, the record must roll back too. */
  insert(intent: Intent): Write & {
    /** The input of the second beat. @param createdAt the record's `first_seen_at`. */
    work(createdAt: Date): Work;
  };
}

/** A first beat that needs several statements, or that ends the operation. */
export interface TransactionPlan<Work = unknown> {
  /**
   * Writes the object in the same transaction as the record. An error rolls back both, and the key stays unused.
   * @returns `answer` if the operation ends here, else `work` for the second beat.
   * @throws ReserveRaced when the derived id is taken, or something that it read has changed.
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
      /** The error for a waiting client. `inDoubt` is true if any attempt so far is in doubt. */
      error(inDoubt: boolean, retryAfterSeconds: number): Error;
    };

/**
 * Starts a new lease for the attempt, for calls that together may take longer than one lease.
 * @returns `leftMs` of the new lease; undefined if another process has taken over. Then stop, without an outcome.
 */
export type ExtendLease = () => Promise<number | undefined>;

/** The second and third beat. Any process can run them from the rows alone, any number of times. */
export interface OutsideCall<Work = unknown, Outcome = unknown> {
  load(db: Queryable, intent: Intent): Promise<Work>;
  /**
   * Calls the other service under `intent.id`. The engine holds no transaction and no connection meanwhile.
   * @param leftMs when all its calls must have ended, in whole ms from now; can be 0. The lease lasts `SETTLE_MS`
   *   longer.
   * @param extendLease for reads that may take longer than `leftMs`. Without it, the attempt ends with the lease.
   */
  perform(
    work: Work,
    intent: Intent,
    leftMs: number,
    extendLease: ExtendLease,
  ): Promise<Performed<Outcome>>;
  /** The final state, and the answer. Takes effect once: only the holder of the newest epoch writes. */
  settle(work: Work, outcome: Outcome, intent: Intent): Settlement;
  /** For outcomes that must not be lost even if their attempt lost its claim. */
  late?: LateOutcomes<Work, Outcome>;
}

/**
 * How an outcome is written: as one write, in the statement that completes the record; or as several statements in a
 * transaction that locks the record.
 */
export type Settlement = { answer: Answer; write: Write } | { settle(tx: Tx): Promise<Answer> };

/** What happens to the outcome of an attempt whose lease was taken over. */
export interface LateOutcomes<Work = unknown, Outcome = unknown> {
  /** Whether the outcome stays true at the other service, whatever the new holder finds. */
  isIrreversible(outcome: Outcome): boolean;
  /**
   * Called with an irreversible outcome when the object is already final; otherwise the outcome itself settles it.
   * Must not change the object; must record the contradiction.
   */
  report(tx: Tx, work: Work, outcome: Outcome, intent: Intent): Promise<void>;
}

/** The object that an operation creates. */
export interface FoundResource extends ResourceLink {
  /** Whether the object ended without effect, so that a new key may be used. */
  failed: boolean;
  createdAt: Date;
}

/** An operation is a method and a route template; keys belong to it. */
export interface Operation<Work = unknown, Outcome = unknown> {
  /** For example `POST /events/{id}/resend`. Part of the derived id: never rename it. */
  readonly name: string;
  /** For example `inv`: ids are `inv_…`. Part of every id: never change it. */
  readonly idPrefix: string;
  /** Whether only our own code calls it, under keys that clients cannot send: a client's key lookup skips it. */
  readonly internal?: boolean;
  find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined>;
  /** Absent for operations with one beat: their object and answer commit together. */
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
 * The points at which crash tests kill the process, in the order in which they are reached. One request reaches only
 * some of them. A beat that is one write has no points inside its transaction: the process dies before or after its
 * statement. How PostgreSQL ends the statement of a killed client: test/guarantees/crash-in-statement.spec.ts.
 */
export const PROBE_POINTS = [
  'received', // the key was read, nothing is written
  'before-reserve', // validated, nothing is written
  'record-written', // in a TransactionPlan: the record is written, the object is not
  'reserve-written', // in a TransactionPlan: both are written, not committed
  'after-reserve', // committed: any process can continue from this row
  'before-perform', // the outside call is next
  'after-perform', // the outside call has ended, its outcome is not written
  'settle-written', // in a settling transaction: state and answer are written, not committed
  'after-settle', // committed: every later request gets the stored answer
  'released', // the attempt ended without an outcome and released its lease
] as const;
export type ProbePoint = (typeof PROBE_POINTS)[number];

/** The result of a request, or of an attempt of the sweep, under its key. */
export type KeyOutcome =
  | 'executed' // this request produced the answer
  | 'recovered' // this request or the sweep completed what another attempt started
  | 'replayed' // the stored answer, without waiting
  | 'waited' // the stored answer, after waiting for another request
  | 'pending' // the attempt ended without an outcome; recovery continues
  | 'in_progress' // the wait timed out
  | 'reused' // another intent under the key
  | 'expired'; // the answer has expired, the object exists

/** Receives the engine's events. Logs, metrics, lab faults and tests use it. */
export abstract class EngineProbe {
  /**
   * The request has reached a point. The engine waits for the returned promise. If it rejects, the request fails at
   * this point.
   */
  reached(_point: ProbePoint, _intent: Intent & { operation: string }): void | Promise<void> {}
  /** A request or an attempt has ended. */
  ended(_outcome: KeyOutcome, _intent: Intent & { operation: string }): void {}
}

/** Passes the probe only what it may log: not the key, and not the hashes of the request. */
export async function announce(
  probe: EngineProbe,
  point: ProbePoint,
  { accountId, id, requestId, operation }: Intent & { operation: string },
): Promise<void> {
  await probe.reached(point, { accountId, id, requestId, operation });
}

/** The default: does nothing. */
@Injectable()
export class SilentProbe extends EngineProbe {}
