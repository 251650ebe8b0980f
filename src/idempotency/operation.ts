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

/** The first beat, made by the handler from a validated request; it touches nothing until the engine runs it. */
export interface Plan<Work = unknown> {
  /**
   * Writes the object in the same transaction as the record. Whatever it throws undoes both, and the key stays
   * unused.
   * @returns `answer` if all is done with this beat, else `work` for the second.
   * @throws ReserveRaced when the derived id is taken, or something it read has moved on.
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
export interface LaterBeats<Work = unknown, Outcome = unknown> {
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
  /** Writes the final state and builds the answer from rows. The record is locked, so this runs once. */
  settle(tx: Tx, work: Work, outcome: Outcome, intent: Intent): Promise<Answer>;
  /** For outcomes that must not be lost, although the attempt that brings them came too late to settle by its claim. */
  late?: LateOutcomes<Work, Outcome>;
}

/** What becomes of the outcome of an attempt whose record somebody else has taken over. */
export interface LateOutcomes<Work = unknown, Outcome = unknown> {
  /** Whether something has happened outside that stays true, whatever the new holder is told. */
  isFact(outcome: Outcome): boolean;
  /**
   * Told a fact when the object has ended already, perhaps otherwise; before that, the fact itself settles. It must
   * not change the object; what contradicts it must not be lost either.
   */
  tell(tx: Tx, work: Work, outcome: Outcome, intent: Intent): Promise<void>;
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
  find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined>;
  /** Absent for operations without an outside call: their work and answer commit together. */
  readonly later?: LaterBeats<Work, Outcome>;
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

  all(): Operation[] {
    return [...this.operations.values()];
  }
}

/** The points that a request passes, in order. Crash tests kill the process at each of them. */
export const PROBE_POINTS = [
  'received', // the key is read, nothing is written
  'before-reserve', // validated, nothing is written
  'record-written', // in the reserving transaction: the record is there, the object is not
  'reserve-written', // in the reserving transaction: both are there, not committed
  'after-reserve', // committed: a row from which any process can go on
  'before-perform', // the outside call is next
  'after-perform', // the outside call has ended, nothing is written about it
  'settle-written', // in the settling transaction: state and answer are there, not committed
  'after-settle', // committed: whoever asks gets the stored answer
  'released', // the attempt ended without an outcome, the lease is given back
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

/** Told what the engine does. Logs, metrics, lab faults and tests hang here. */
export abstract class EngineProbe {
  /** A point is passed. What this throws or awaits happens there. */
  reached(_point: ProbePoint, _intent: Intent & { operation: string }): void | Promise<void> {}
  /** A request or an attempt has ended. */
  ended(_outcome: KeyOutcome, _intent: Intent & { operation: string }): void {}
}

/** The default: nobody listens. */
@Injectable()
export class SilentProbe extends EngineProbe {}
