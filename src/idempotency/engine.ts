import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { Completer, type Ended } from './completer.js';
import { Database, inTransaction, type Queryable } from './database.js';
import { ENGINE_OPTIONS, type EngineOptions } from './engine-options.js';
import {
  IdempotencyError,
  IdempotencyKeyExpired,
  isTransient,
  isUniqueViolation,
  ReserveRaced,
} from './errors.js';
import { claimRecord } from './lease.js';
import {
  announce,
  EngineProbe,
  OperationRegistry,
  type Plan,
  type ProbePoint,
} from './operation.js';
import { Progress } from './progress.js';
import {
  claimOf,
  refuseAnotherIntent,
  resultOf,
  type Claim,
  type IdempotencyRecord,
  type KeyedRequest,
  type Result,
} from './record.entity.js';
import { deleteExpired, findRecord, insertOrFindRecord } from './records.js';

/** What the first beat found or created under the key. */
interface Reserved {
  record: IdempotencyRecord;
  /** Set if this request inserted the record. */
  claim?: Claim;
  work?: unknown;
  /** Set if the operation ends with its first beat. */
  result?: Result;
}

/**
 * Reserve, perform, settle. A crash at any line leaves either no row, or a row from which a retry (`run`) or the
 * sweep (`Completer.resume`) continues. Proof: test/guarantees/crash-matrix.spec.ts,
 * test/guarantees/duplicates.spec.ts.
 */
@Injectable()
export class IdempotencyEngine implements BeforeApplicationShutdown {
  private draining = false;

  constructor(
    private readonly db: Database,
    private readonly operations: OperationRegistry,
    private readonly completer: Completer,
    private readonly probe: EngineProbe,
    @Inject(ENGINE_OPTIONS) private readonly options: EngineOptions,
  ) {}

  /**
   * Runs a request under its key, or returns the answer that is already stored.
   * @param plan the first beat, or the validation error. An existing record takes precedence over the error.
   * @param waitMs how long to wait for another request that runs under the same key.
   */
  async run(
    request: KeyedRequest,
    plan: Plan | Error,
    waitMs = this.options.waitMs,
  ): Promise<Result> {
    const progress = new Progress(request, performance.now() + waitMs, this.options.pause);
    await this.reached('received', request);
    try {
      const result = await this.runUntilEnded(progress, plan);
      this.probe.ended(progress.keyOutcome(result), request);
      return result;
    } catch (error) {
      const outcome = progress.keyOutcomeOfError(error);
      if (outcome) this.probe.ended(outcome, request);
      throw error;
    }
  }

  /** Repeats the attempt while another request holds the key, or after it lost its claim or the database. */
  private async runUntilEnded(progress: Progress, plan: Plan | Error): Promise<Result> {
    for (;;) {
      let ended: Ended | undefined;
      try {
        ended = await this.attemptOnce(progress, plan);
      } catch (error) {
        await this.recover(progress, error);
      }
      if (ended && 'open' in ended) throw ended.open;
      if (ended) return ended.result;
    }
  }

  /** Finds or reserves the record, then attempts it. @returns undefined if the record must be read again. */
  private async attemptOnce(progress: Progress, plan: Plan | Error): Promise<Ended | undefined> {
    const reserved = await this.findOrReserve(progress, plan);
    if (!reserved) return undefined; // raced
    if (reserved.result) return { result: reserved.result };
    const claim = reserved.claim ?? (await this.evaluate(progress, reserved.record));
    if (!claim) return progress.waitForHolder(this.draining).then(() => undefined);
    if ('result' in claim) return claim;
    progress.claim = claim;
    return this.completer.attempt(claim, reserved.work);
  }

  private async findOrReserve(
    progress: Progress,
    plan: Plan | Error,
  ): Promise<Reserved | undefined> {
    const mayExist = progress.begun || plan instanceof Error;
    const record = mayExist ? await this.find(progress.request) : undefined;
    if (record) return { record };
    if (!(plan instanceof Error)) return this.reserve(progress, plan);
    const found = await this.findOfObject(progress.request);
    if (found) return { record: found };
    throw plan;
  }

  /**
   * The first beat: record and object commit together. The record's primary key decides which request wins.
   * @returns undefined if this request lost a race.
   */
  private async reserve(progress: Progress, plan: Plan): Promise<Reserved | undefined> {
    const { request } = progress;
    await this.reached('before-reserve', request);
    progress.begun = true;
    progress.sent = false;
    try {
      let reserved = await this.firstBeat(this.db, progress, plan);
      const { record, claim } = reserved ?? {};
      if (record?.expired && !claim) {
        // An expired record counts as absent. If its object exists, the object's primary key aborts this transaction
        // and the expired record stays: the result does not depend on the reaper.
        reserved = await this.db.transaction(async (tx) => {
          await deleteExpired(tx, record);
          return this.firstBeat(tx, progress, plan);
        });
      }
      // Crash here: record and object are committed. The next attempt continues from them.
      if (reserved?.claim) await this.reached('after-reserve', request);
      if (!reserved) progress.raced(undefined); // the next read finds the other record
      return reserved;
    } catch (error) {
      progress.reserveFailed(error);
      if (isTransient(error)) throw error;
      // If this key has already created its object, the object is the answer, whatever made the first beat fail.
      const record = await this.findOfObject(request);
      if (record) return { record };
      if (!(error instanceof ReserveRaced) && !isUniqueViolation(error)) throw error;
      progress.raced(error);
      return undefined;
    }
  }

  private async firstBeat(
    db: Queryable,
    progress: Progress,
    plan: Plan,
  ): Promise<Reserved | undefined> {
    const { request } = progress;
    const { leaseMs } = this.options;
    if ('insert' in plan) {
      progress.sent = true;
      const insert = plan.insert(request);
      const found = await insertOrFindRecord(db, request, leaseMs, insert);
      return found?.claim ? { ...found, work: insert.work(found.record.first_seen_at) } : found;
    }
    return inTransaction(db, async (tx) => {
      progress.sent = true;
      const found = await insertOrFindRecord(tx, request, leaseMs);
      if (!found?.claim) return found;
      await this.reached('record-written', request);
      const reserved = await plan.reserve(tx, found.claim);
      const result =
        'answer' in reserved
          ? await this.completer.complete(tx, found.claim, reserved.answer)
          : undefined;
      await this.reached('reserve-written', request);
      return { ...found, ...reserved, result };
      // Crash here: nothing was written, and the key is unused.
    });
  }

  /**
   * Decides what an existing record means for this request, and claims a free one. @returns undefined if it is held.
   */
  private async evaluate(
    progress: Progress,
    record: IdempotencyRecord,
  ): Promise<{ result: Result } | Claim | undefined> {
    refuseAnotherIntent(record, progress.request);
    const ours = progress.owns(record);
    if (record.state === 'completed') return { result: resultOf(record, !ours) };
    progress.databaseIsBack();
    if (ours) {
      // We do not know what an attempt under this claim did before it lost the connection to the database.
      return progress.claim ? { ...progress.claim, inDoubt: true } : claimOf(record);
    }
    return record.free ? claimRecord(this.db, record, this.options.leaseMs) : undefined;
  }

  /**
   * Waits while the database is unreachable. After our own fault, reads the record: another process may have settled.
   * @throws the error for the client.
   */
  private async recover(progress: Progress, error: unknown): Promise<void> {
    if (error instanceof IdempotencyError) throw error;
    if (isTransient(error)) return progress.waitOutLoss(error);
    if (!progress.claim) throw error;
    try {
      const record = await this.find(progress.request);
      if (!record || (record.state === 'in_progress' && progress.owns(record))) throw error;
    } catch (failed) {
      if (!isTransient(failed)) throw failed;
    }
  }

  /** During shutdown no request waits for another request: the client's retry gets the answer from another process. */
  beforeApplicationShutdown(): void {
    this.draining = true;
  }

  /** @returns the record, unless it has expired. */
  private async find({ accountId, key }: KeyedRequest): Promise<IdempotencyRecord | undefined> {
    const record = await findRecord(this.db, accountId, key);
    return record?.expired ? undefined : record;
  }

  /**
   * Finds the record through the object, whose primary key is derived from the key and never expires.
   * @returns undefined if there is no object.
   * @throws IdempotencyKeyExpired if the object exists, but its record does not.
   */
  private async findOfObject(request: KeyedRequest): Promise<IdempotencyRecord | undefined> {
    const { operation, accountId, id } = request;
    const resource = await this.operations.get(operation).find(this.db, accountId, id);
    if (!resource) return undefined;
    // The object may be newer than the first read of the record. Both are written together, so read the record again.
    const record = await this.find(request);
    if (record) return record;
    throw new IdempotencyKeyExpired(resource);
  }

  private reached(point: ProbePoint, of: KeyedRequest): Promise<void> {
    return announce(this.probe, point, of);
  }
}
