import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { Completer, type Ended } from './completer.js';
import { Database, inTransaction, type Queryable } from './database.js';
import { ENGINE_OPTIONS, type EngineOptions } from './engine-options.js';
import {
  IdempotencyError,
  IdempotencyKeyExpired,
  isPassing,
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

/** What the first beat found or made under the key. */
interface Reserved {
  record: IdempotencyRecord;
  /** Of the request that has inserted the record. */
  claim?: Claim;
  work?: unknown;
  /** Of an operation that ends with its first beat. */
  result?: Result;
}

/**
 * Reserve, perform, settle. A crash at any line leaves either no row or one from which `run` of a retry, or `resume` of
 * the sweep, continues. Proof: test/guarantees/crash-matrix.spec.ts, test/guarantees/duplicates.spec.ts.
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
   * Runs a request under its key, or returns the answer that the key has already.
   *
   * @param plan the first beat, or the error of the validation: a used key answers before that error does.
   * @param waitMs how long to wait for another request that runs under the same key.
   */
  async run(
    request: KeyedRequest,
    plan: Plan | Error,
    waitMs = this.options.waitMs,
  ): Promise<Result> {
    const progress = new Progress(request, performance.now() + waitMs);
    await this.reached('received', request);
    try {
      const result = await this.untilEnded(progress, plan);
      this.probe.ended(progress.outcomeOf(result), request);
      return result;
    } catch (error) {
      const outcome = progress.outcomeOfError(error);
      if (outcome) this.probe.ended(outcome, request);
      throw error;
    }
  }

  /** Once is enough, unless another request holds the key, the claim is lost, or the database is. */
  private async untilEnded(progress: Progress, plan: Plan | Error): Promise<Result> {
    for (;;) {
      let ended: Ended | undefined;
      try {
        ended = await this.once(progress, plan);
      } catch (error) {
        await this.recover(progress, error);
      }
      if (ended && 'open' in ended) throw ended.open;
      if (ended) return ended.result;
    }
  }

  /** The way of a request. @returns undefined if the record must be read again. */
  private async once(progress: Progress, plan: Plan | Error): Promise<Ended | undefined> {
    const reserved = await this.findOrReserve(progress, plan);
    if (!reserved) return undefined; // raced
    if (reserved.result) return { result: reserved.result };
    const claim = reserved.claim ?? (await this.judge(progress, reserved.record));
    if (!claim) return progress.waitForHolder(this.draining).then(() => undefined);
    if ('result' in claim) return claim;
    progress.claim = claim;
    return this.completer.attempt(claim, reserved.work);
  }

  private async findOrReserve(
    progress: Progress,
    plan: Plan | Error,
  ): Promise<Reserved | undefined> {
    const mayBeThere = progress.begun || plan instanceof Error;
    const record = mayBeThere ? await this.find(progress.request) : undefined;
    if (record) return { record };
    if (!(plan instanceof Error)) return this.reserve(progress, plan);
    const found = await this.findOfObject(progress.request);
    if (found) return { record: found };
    throw plan;
  }

  /**
   * The first beat: record and object commit together, decided by the record's primary key.
   * @returns undefined if it lost a race.
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
        // An expired record counts as absent. If its object exists, the object's primary key ends this transaction, and
        // the expired record stays: the same whether the reaper ran or not.
        reserved = await this.db.transaction(async (tx) => {
          await deleteExpired(tx, record);
          return this.firstBeat(tx, progress, plan);
        });
      }
      // Dies here: record and object are committed; the next attempt continues from them.
      if (reserved?.claim) await this.reached('after-reserve', request);
      if (!reserved) progress.raced(undefined); // the record that was in the way is found by the next look
      return reserved;
    } catch (error) {
      progress.reserveFailed(error);
      if (isPassing(error)) throw error;
      // Whatever the first beat objects to: if this key has made its object already, that is the answer.
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
      const made = await plan.reserve(tx, found.claim);
      const result =
        'answer' in made ? await this.completer.complete(tx, found.claim, made.answer) : undefined;
      await this.reached('reserve-written', request);
      return { ...found, ...made, result };
      // Dies here: nothing was written, the key is unused.
    });
  }

  /** What a record that was there means for this request; a free one is claimed. @returns undefined if it is held. */
  private async judge(
    progress: Progress,
    record: IdempotencyRecord,
  ): Promise<{ result: Result } | Claim | undefined> {
    refuseAnotherIntent(record, progress.request);
    const ours = progress.owns(record);
    if (record.state === 'completed') return { result: resultOf(record, !ours) };
    progress.databaseIsBack();
    if (ours) {
      // What an attempt under this claim did before the database was lost is not known.
      return progress.claim ? { ...progress.claim, inDoubt: true } : claimOf(record);
    }
    return record.free ? claimRecord(this.db, record, this.options.leaseMs) : undefined;
  }

  /**
   * A lost database is waited for. After a fault of ours another process may have settled: the record is read again.
   * @throws the error for the client.
   */
  private async recover(progress: Progress, error: unknown): Promise<void> {
    if (error instanceof IdempotencyError) throw error;
    if (isPassing(error)) return progress.outlast(error);
    if (!progress.claim) throw error;
    try {
      const record = await this.find(progress.request);
      if (!record || (record.state === 'in_progress' && progress.owns(record))) throw error;
    } catch (failed) {
      if (!isPassing(failed)) throw failed;
    }
  }

  /** While the process stops, no request waits for another one's answer: another process can give it. */
  beforeApplicationShutdown(): void {
    this.draining = true;
  }

  /** A record that has not expired. */
  private async find({ accountId, key }: KeyedRequest): Promise<IdempotencyRecord | undefined> {
    const record = await findRecord(this.db, accountId, key);
    return record?.expired ? undefined : record;
  }

  /**
   * The guard that never expires: the object's own primary key, derived from the key.
   * @returns undefined if there is no object.
   * @throws IdempotencyKeyExpired if it has no record any more.
   */
  private async findOfObject(request: KeyedRequest): Promise<IdempotencyRecord | undefined> {
    const { operation, accountId, id } = request;
    const resource = await this.operations.get(operation).find(this.db, accountId, id);
    if (!resource) return undefined;
    // It may have been made since this request looked for its record; they are written together.
    const record = await this.find(request);
    if (record) return record;
    throw new IdempotencyKeyExpired(resource);
  }

  private reached(point: ProbePoint, of: KeyedRequest): Promise<void> {
    return announce(this.probe, point, of);
  }
}
