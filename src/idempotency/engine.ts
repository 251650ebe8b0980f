import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { DEFAULT_MAX_FAILURES } from './attention.js';
import { Database, type Tx } from './database.js';
import { ENGINE_OPTIONS, requireFinal, type EngineOptions } from './engine-options.js';
import {
  IdempotencyError,
  IdempotencyKeyExpired,
  IdempotencyKeyReused,
  isPassing,
  ReserveRaced,
} from './errors.js';
import { mismatchedMembers } from './identity.js';
import {
  EngineProbe,
  OperationRegistry,
  type Answer,
  type LaterBeats,
  type Operation,
  type Plan,
  type ProbePoint,
} from './operation.js';
import * as records from './records.js';
import type { Claim, IdempotencyRecord, KeyedRequest } from './records.js';
import { failedToPerform, resultOf, Walk, type Result, type Seen } from './walk.js';

/** How an attempt that kept its claim has ended. */
type Ended = Extract<Seen, { kind: 'answered' | 'open' }>;

/**
 * Reserve, perform, settle. One request walks through `run`; a crash at any line leaves either no row or one
 * from which `run` of a retry, or `resume` of the sweep, goes on.
 * Proof: test/guarantees/crash-matrix.spec.ts, test/guarantees/duplicates.spec.ts.
 */
@Injectable()
export class IdempotencyEngine implements BeforeApplicationShutdown {
  private draining = false;

  constructor(
    private readonly db: Database,
    private readonly operations: OperationRegistry,
    private readonly probe: EngineProbe,
    @Inject(ENGINE_OPTIONS) private readonly options: EngineOptions,
  ) {}

  /**
   * Runs a request under its key, or answers with what the key stands for already.
   *
   * @param plan the first beat, or the error that validation ended in: a used key answers before that error does.
   * @param waitMs how long to wait for another request that runs under the same key.
   */
  async run(
    request: KeyedRequest,
    plan: Plan | Error,
    waitMs = this.options.waitMs,
  ): Promise<Result> {
    const walk = new Walk(request, plan, performance.now() + waitMs);
    await this.reached('received', request);
    try {
      const result = await this.walkToTheEnd(walk);
      this.probe.ended(walk.outcome(result), request);
      return result;
    } catch (error) {
      const outcome = walk.outcomeOf(error);
      if (outcome) this.probe.ended(outcome, request);
      throw error;
    }
  }

  private async walkToTheEnd(walk: Walk): Promise<Result> {
    let seen: Seen | undefined;
    for (;;) {
      try {
        seen = await this.step(walk, seen);
      } catch (error) {
        seen = await this.lookAgain(walk, error);
      }
      if (seen?.kind === 'answered') return seen.result;
      if (seen?.kind === 'open') throw seen.error;
    }
  }

  private async step(walk: Walk, seen: Seen | undefined): Promise<Seen | undefined> {
    switch (seen?.kind) {
      case 'claimed': {
        walk.claim = seen.claim;
        const ended = await this.attempt(seen.claim, seen.work);
        return ended ?? this.look(walk); // the claim was lost: go on as a duplicate would
      }
      case 'found':
        return this.judge(walk, seen.record);
      case 'held':
        await walk.waitForTheWinner(this.draining);
        return this.look(walk);
      case 'absent': // the first request ended without a trace: this one is the first now
        return undefined;
      case 'answered':
      case 'open':
        return seen;
      case undefined:
        return this.begin(walk);
    }
  }

  /**
   * After a failure. Once there was a claim, or the database was lost, somebody may have settled: the record is read
   * again before anything is said.
   */
  private async lookAgain(walk: Walk, error: unknown): Promise<Seen | undefined> {
    const passing = isPassing(error);
    if (error instanceof IdempotencyError || (!passing && !walk.claim)) throw error;
    if (passing) await walk.outlast(error);
    let seen: Seen;
    try {
      seen = await this.look(walk);
    } catch (lost) {
      if (isPassing(lost)) return undefined; // the next step meets it, too
      throw lost;
    }
    if (seen.kind !== 'answered') walk.backAgain(error);
    // A fault of ours, and the claim is still ours: nobody has ended it meanwhile.
    if (!passing && seen.kind === 'claimed' && seen.claim.epoch === walk.claim?.epoch) throw error;
    return seen;
  }

  /** What is due for the sweep, oldest first. */
  async listRecoverable(limit: number): Promise<IdempotencyRecord[]> {
    const names = this.operations.all().flatMap(({ name, later }) => (later ? [name] : []));
    return records.listRecoverable(this.db, names, limit);
  }

  /** Finishes what another process left behind: the sweep's entry. Nothing happens if somebody else was faster. */
  async resume(record: IdempotencyRecord): Promise<void> {
    if (!this.operations.find(record.operation)?.later) return;
    const { leaseMs, maxFailures = DEFAULT_MAX_FAILURES } = this.options;
    const claim = await records.claimRecord(this.db, record, leaseMs, maxFailures);
    if (!claim) return;
    const ended = await this.attempt(claim);
    if (ended?.kind === 'open') throw ended.error;
    if (ended) this.probe.ended('recovered', claim);
  }

  /**
   * Settles on somebody else's word, for example the other side's own notification, in the caller's transaction. It
   * takes the record whoever holds it, so that the holder comes second and writes nothing.
   * @returns false if the object's record is completed, or none.
   */
  async settleFromOutside(
    tx: Tx,
    accountId: string,
    operation: string,
    id: string,
    outcome: unknown,
  ): Promise<boolean> {
    const settled = await this.settleSeized(tx, accountId, operation, id, outcome);
    if (settled) this.probe.ended('recovered', settled.claim);
    return settled !== undefined;
  }

  private async settleSeized(
    tx: Tx,
    accountId: string,
    operation: string,
    id: string,
    outcome: unknown,
  ): Promise<{ claim: Claim; result: Result } | undefined> {
    const later = this.operationOf(operation).later;
    const claim = await records.seizeRecord(tx, accountId, id);
    if (!later || !claim) return undefined;
    const work = await later.load(tx, claim);
    const answer = await later.settle(tx, work, outcome, claim);
    return { claim, result: await this.complete(tx, claim, answer) };
  }

  /** While the process stops, nobody waits for somebody else's answer: another process can tell it. */
  beforeApplicationShutdown(): void {
    this.draining = true;
  }

  private async begin(walk: Walk): Promise<Seen> {
    if (!(walk.plan instanceof Error)) return this.reserve(walk, walk.plan);
    const seen = await this.look(walk);
    if (seen.kind !== 'absent') return seen;
    const made = await this.lookForObject(walk);
    if (made) return made;
    throw walk.plan;
  }

  /** The first beat: record and object, in one transaction, decided by the primary key of the record. */
  private async reserve(walk: Walk, plan: Plan): Promise<Seen> {
    const { request } = walk;
    await this.reached('before-reserve', request);
    walk.sent = false;
    try {
      const seen = await this.db.transaction(async (tx): Promise<Seen> => {
        walk.sent = true;
        let claim = await records.insertRecord(tx, request, this.options.leaseMs);
        if (!claim) {
          const record = await records.findRecord(tx, request.accountId, request.key);
          if (!record) return { kind: 'absent' };
          if (!record.expired) return { kind: 'found', record };
          // An expired record counts as absent. If its object stands, its primary key ends this transaction
          // and the expired record with it stays: the same whether the reaper ran or not.
          await records.deleteExpired(tx, record);
          claim = await records.insertRecord(tx, request, this.options.leaseMs);
          if (!claim) return { kind: 'absent' };
        }
        await this.reached('record-written', request);
        const reserved = await plan.reserve(tx, claim);
        const seen: Seen =
          'work' in reserved
            ? { kind: 'claimed', claim, work: reserved.work }
            : { kind: 'answered', result: await this.complete(tx, claim, reserved.answer) };
        await this.reached('reserve-written', request);
        return seen;
        // Dies here: nothing was written, the key is unused.
      });
      // Dies here: record and object are committed; whoever comes next goes on from them.
      if (seen.kind === 'claimed' || seen.kind === 'answered') {
        await this.reached('after-reserve', request);
      }
      return seen;
    } catch (error) {
      if (isPassing(error)) throw error;
      // Whatever the first beat objects to: if this key has made its object already, that is the answer.
      const made = await this.lookForObject(walk);
      if (made) return made;
      if (!(error instanceof ReserveRaced)) throw error;
      walk.raced(error);
      return { kind: 'absent' };
    }
  }

  private async look(walk: Walk): Promise<Seen> {
    const record = await records.findRecord(this.db, walk.request.accountId, walk.request.key);
    return record && !record.expired ? this.judge(walk, record) : { kind: 'absent' };
  }

  /** What a live record means for this request; a free one is taken over. */
  private async judge(walk: Walk, record: IdempotencyRecord): Promise<Seen> {
    const { request, claim } = walk;
    if (record.operation !== request.operation) {
      throw new IdempotencyKeyReused(`for another operation, ${record.operation}`, []);
    }
    if (!record.fingerprint.equals(request.fingerprint)) {
      const mismatched = mismatchedMembers(record.members, request.members);
      throw new IdempotencyKeyReused('with another request', mismatched);
    }
    // Without a claim a record can only be ours after the acknowledgement of our COMMIT was lost.
    const ours = claim
      ? record.epoch === claim.epoch
      : record.epoch === 1 && record.request_id === request.requestId;
    if (record.state === 'completed') return { kind: 'answered', result: resultOf(record, !ours) };
    if (ours) {
      // What an attempt under this claim did before the database was lost is not known any more.
      const again = claim ? { ...claim, inDoubt: true } : records.claimOf(record);
      return { kind: 'claimed', claim: again };
    }
    if (!record.free) return { kind: 'held' };
    const next = await records.claimRecord(this.db, record, this.options.leaseMs);
    return next ? { kind: 'claimed', claim: next } : { kind: 'held' };
  }

  /**
   * After a fault of ours the lease is given back at once: the next attempt waits as long as after an open outcome. A
   * client's request that loses the database keeps its claim and goes on; the sweep comes back later.
   */
  private async attempt(claim: Claim, work?: unknown): Promise<Ended | undefined> {
    try {
      const ended = await this.performAndSettle(claim, work);
      if (!ended) await records.takeOutOfCount(this.db, claim);
      return ended;
    } catch (error) {
      const ourFault = !isPassing(error);
      if (ourFault || claim.bySweep) {
        const waitMs = await records.releaseRecord(this.db, claim, true, ourFault);
        if (waitMs === undefined && !ourFault) await records.takeOutOfCount(this.db, claim);
        // Dies before this: the lease runs out, and the sweep's attempt stays counted.
        await this.reached('released', claim);
      }
      throw error;
    }
  }

  /**
   * Second and third beat.
   * @returns undefined if another holder has taken over meanwhile: it alone may settle.
   */
  private async performAndSettle(claim: Claim, work?: unknown): Promise<Ended | undefined> {
    const later = this.operationOf(claim.operation).later;
    if (!later) throw new Error(`${claim.operation} has no later beats`);
    const loaded = work ?? (await later.load(this.db, claim));
    await this.reached('before-perform', claim);
    const leftMs = await records.timeForCalls(this.db, claim, this.options.leaseMs);
    if (leftMs === undefined) return undefined;
    const extend = () => records.extendLease(this.db, claim, this.options.leaseMs);
    const performed = await later.perform(loaded, claim, leftMs, extend).catch(failedToPerform);
    // Dies here: the outcome is known to the other side only; the next attempt, under the same id, is told it again.
    await this.reached('after-perform', claim);
    if (!performed.ended) {
      const inDoubt = claim.inDoubt || performed.inDoubt;
      const waitMs = await records.releaseRecord(this.db, claim, inDoubt);
      await this.reached('released', claim);
      if (waitMs === undefined) return undefined;
      const error = performed.error(inDoubt, Math.max(1, Math.ceil(waitMs / 1000)));
      return { kind: 'open', error };
    }
    const { outcome } = performed;
    const result = await this.db.transaction(async (tx) => {
      if (!(await records.lockClaimed(tx, claim))) return undefined;
      const answer = await later.settle(tx, loaded, outcome, claim);
      const settled = await this.complete(tx, claim, answer);
      await this.reached('settle-written', claim);
      return settled;
      // Dies here: still in progress; the next attempt performs again (a replay for the other side) and settles.
    });
    // Dies here: the answer is stored, the client's retry gets it.
    if (!result) {
      const late = await this.comeLate(later, loaded, outcome, claim);
      return late && { kind: 'answered', result: late };
    }
    await this.reached('after-settle', claim);
    return { kind: 'answered', result };
  }

  /**
   * Somebody else has taken over. A fact settles all the same while nobody has: the new holder may be about to write
   * that nothing happened, and finds it done.
   */
  private async comeLate(
    { late }: LaterBeats,
    work: unknown,
    outcome: unknown,
    claim: Claim,
  ): Promise<Result | undefined> {
    if (!late?.isFact(outcome)) return undefined;
    const { accountId, operation, id } = claim;
    return this.db.transaction(async (tx) => {
      const settled = await this.settleSeized(tx, accountId, operation, id, outcome);
      if (!settled) await late.tell(tx, work, outcome, claim);
      return settled?.result;
    });
  }

  private async complete(tx: Tx, claim: Claim, answer: Answer): Promise<Result> {
    requireFinal(answer, claim.operation, this.options);
    const expiresAt = await records.completeRecord(tx, claim, answer, this.options.ttlSeconds);
    return { answer, expiresAt, replayed: false, originalRequestId: claim.requestId };
  }

  /**
   * The guard that never expires: the object's own primary key, derived from the key.
   * @returns undefined if there is no object.
   * @throws IdempotencyKeyExpired if it stands alone.
   */
  private async lookForObject(walk: Walk): Promise<Seen | undefined> {
    const { operation, accountId, id } = walk.request;
    const resource = await this.operationOf(operation).find(this.db, accountId, id);
    if (!resource) return undefined;
    // It may have been made since this request looked for its record; they are written together.
    const seen = await this.look(walk);
    if (seen.kind !== 'absent') return seen;
    throw new IdempotencyKeyExpired(resource);
  }

  private operationOf(name: string): Operation {
    const operation = this.operations.find(name);
    if (!operation) throw new Error(`${name} is not a registered operation`);
    return operation;
  }

  private async reached(point: ProbePoint, of: KeyedRequest | Claim): Promise<void> {
    const { accountId, id, requestId, operation } = of;
    await this.probe.reached(point, { accountId, id, requestId, operation });
  }
}
