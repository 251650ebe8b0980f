import { Inject, Injectable } from '@nestjs/common';
import { DEFAULT_MAX_FAILURES } from './attention.js';
import { Database, inTransaction, type Queryable, type Tx } from './database.js';
import { listRecoverable } from './due-records.js';
import { ENGINE_OPTIONS, requireFinal, type EngineOptions } from './engine-options.js';
import { isPassing } from './errors.js';
import * as lease from './lease.js';
import {
  announce,
  EngineProbe,
  OperationRegistry,
  type Answer,
  type OutsideCall,
  type ProbePoint,
  type Settlement,
  type Write,
} from './operation.js';
import { completeRecord, lockClaimed, seizeRecord } from './records.js';
import type { Claim, IdempotencyRecord, Result } from './record.entity.js';

/** How an attempt that kept its claim ended: with an answer, or open, with the error for a client that waits. */
export type Ended = { result: Result } | { open: Error };

/**
 * Brings a reserved record to its end: perform and settle, for a request, for the sweep, and on the word of another
 * source. Whoever holds the newest epoch writes; every other attempt writes nothing.
 * Proof: test/guarantees/sleepers.spec.ts, test/webhooks/incoming/races.spec.ts.
 */
@Injectable()
export class Completer {
  constructor(
    private readonly db: Database,
    private readonly operations: OperationRegistry,
    private readonly probe: EngineProbe,
    @Inject(ENGINE_OPTIONS) private readonly options: EngineOptions,
  ) {}

  /**
   * After a fault of ours the lease is released at once: the next attempt waits as long as after an open outcome. A
   * client's request that loses the database keeps its claim and continues; the sweep comes back later.
   */
  async attempt(claim: Claim, work?: unknown): Promise<Ended | undefined> {
    try {
      const ended = await this.performAndSettle(claim, work);
      if (!ended) await lease.takeOutOfCount(this.db, claim);
      return ended;
    } catch (error) {
      const ourFault = !isPassing(error);
      if (ourFault || claim.bySweep) {
        const waitMs = await lease.releaseRecord(this.db, claim, true, ourFault);
        if (waitMs === undefined && !ourFault) await lease.takeOutOfCount(this.db, claim);
        // Dies before this: the lease runs out, and the sweep's attempt stays counted.
        await this.reached('released', claim);
      }
      throw error;
    }
  }

  /**
   * Second and third beat.
   * @returns undefined if another process has taken the claim over: only that one may settle.
   */
  private async performAndSettle(claim: Claim, work?: unknown): Promise<Ended | undefined> {
    const { outside } = this.operations.get(claim.operation);
    if (!outside) throw new Error(`${claim.operation} calls nothing outside`);
    const loaded = work ?? (await outside.load(this.db, claim));
    await this.reached('before-perform', claim);
    const leftMs = await lease.timeForCalls(this.db, claim, this.options.leaseMs);
    if (leftMs === undefined) return undefined;
    const extend = () => lease.extendLease(this.db, claim, this.options.leaseMs);
    const performed = await outside.perform(loaded, claim, leftMs, extend).catch(failedToPerform);
    // Dies here: only the other side knows the outcome; the next attempt, under the same id, gets it again.
    await this.reached('after-perform', claim);
    if (!performed.ended) {
      const inDoubt = claim.inDoubt || performed.inDoubt;
      const waitMs = await lease.releaseRecord(this.db, claim, inDoubt);
      await this.reached('released', claim);
      if (waitMs === undefined) return undefined;
      return { open: performed.error(inDoubt, Math.max(1, Math.ceil(waitMs / 1000))) };
    }
    const { outcome } = performed;
    // Dies here: still in progress; the next attempt performs again (a replay for the other side) and settles.
    const result = await this.settle(this.db, claim, outside.settle(loaded, outcome, claim));
    if (!result) return this.settleLate(outside, loaded, outcome, claim);
    // Dies here: the answer is stored, the client's retry gets it.
    await this.reached('after-settle', claim);
    return { result };
  }

  /**
   * The third beat: final state, events and answer commit together, if the claim still holds.
   * @returns undefined if it does not: nothing was written.
   */
  private async settle(
    db: Queryable,
    claim: Claim,
    settlement: Settlement,
  ): Promise<Result | undefined> {
    if ('write' in settlement) return this.complete(db, claim, settlement.answer, settlement.write);
    return inTransaction(db, async (tx) => {
      if (!(await lockClaimed(tx, claim))) return undefined;
      const result = await this.complete(tx, claim, await settlement.settle(tx));
      if (db !== tx) await this.reached('settle-written', claim);
      return result;
    });
  }

  /** Stores the answer of a claim. @returns undefined if the claim is lost. */
  async complete(
    db: Queryable,
    claim: Claim,
    answer: Answer,
    write?: Write,
  ): Promise<Result | undefined> {
    requireFinal(answer, claim.operation, this.options);
    const { ttlSeconds } = this.options;
    const expiresAt = await completeRecord(db, claim, answer, ttlSeconds, write);
    return expiresAt && { answer, expiresAt, replayed: false, originalRequestId: claim.requestId };
  }

  /**
   * Another process has taken over. An irreversible outcome settles all the same if nothing has: the new holder may be
   * about to write that nothing happened, and then finds the record completed.
   */
  private async settleLate(
    outside: OutsideCall,
    work: unknown,
    outcome: unknown,
    claim: Claim,
  ): Promise<Ended | undefined> {
    const { late } = outside;
    if (!late?.isIrreversible(outcome)) return undefined;
    return this.db.transaction(async (tx) => {
      const settled = await this.settleSeized(tx, outside, claim.accountId, claim.id, outcome);
      if (!settled) await late.report(tx, work, outcome, claim);
      return settled && { result: settled.result };
    });
  }

  /** What is due for the sweep, oldest first. */
  async listRecoverable(limit: number): Promise<IdempotencyRecord[]> {
    const names = this.operations.all().flatMap(({ name, outside }) => (outside ? [name] : []));
    return listRecoverable(this.db, names, limit);
  }

  /** The sweep's entry: finishes what another process left. Does nothing if a third process claimed it first. */
  async resume(record: IdempotencyRecord): Promise<void> {
    if (!this.operations.find(record.operation)?.outside) return;
    const { leaseMs, maxFailures = DEFAULT_MAX_FAILURES } = this.options;
    const claim = await lease.claimRecord(this.db, record, leaseMs, maxFailures);
    if (!claim) return;
    const ended = await this.attempt(claim);
    if (ended && 'open' in ended) throw ended.open;
    if (ended) this.probe.ended('recovered', claim);
  }

  /**
   * Settles on the word of another source, for example the other side's own notification, in the caller's transaction.
   * It takes the record over, also from a live holder, which then writes nothing.
   * @returns false if the object's record is completed, or there is none.
   */
  async settleFromOutside<Work, Outcome>(
    tx: Tx,
    { outside }: { outside: OutsideCall<Work, Outcome> },
    accountId: string,
    id: string,
    outcome: Outcome,
  ): Promise<boolean> {
    const settled = await this.settleSeized(tx, outside, accountId, id, outcome);
    if (settled) this.probe.ended('recovered', settled.claim);
    return settled !== undefined;
  }

  private async settleSeized<Work, Outcome>(
    tx: Tx,
    outside: OutsideCall<Work, Outcome>,
    accountId: string,
    id: string,
    outcome: Outcome,
  ): Promise<{ claim: Claim; result: Result } | undefined> {
    const claim = await seizeRecord(tx, accountId, id);
    if (!claim) return undefined;
    const work = await outside.load(tx, claim);
    const result = await this.settle(tx, claim, outside.settle(work, outcome, claim));
    if (!result) throw new Error(`${id} was seized, but cannot be settled`);
    return { claim, result };
  }

  private reached(point: ProbePoint, of: Claim): Promise<void> {
    return announce(this.probe, point, of);
  }
}

/** A perform that throws is a fault of ours. Wrapped, because an error of its own network is not one of the database. */
function failedToPerform(cause: unknown): never {
  throw new Error('the second beat failed', { cause });
}
