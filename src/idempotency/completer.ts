import { Inject, Injectable } from '@nestjs/common';
import { DEFAULT_MAX_FAILURES } from './attention.js';
import { Database, inTransaction, type Queryable, type Tx } from './database.js';
import { listRecoverable } from './due-records.js';
import { ENGINE_OPTIONS, requireFinal, type EngineOptions } from './engine-options.js';
import { isTransient } from './errors.js';
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

/** How an attempt that kept its claim ended: with an answer, or still open, with the error for a waiting client. */
export type Ended = { result: Result } | { open: Error };

/**
 * Completes a reserved record: perform and settle, for a request, for the sweep, or with an outcome from another
 * source. Only the holder of the newest epoch writes; a late success takes the next epoch first. Proof:
 * test/guarantees/sleepers.spec.ts, test/webhooks/incoming/races.spec.ts.
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
   * Runs perform and settle under a claim. After our own fault it releases the lease immediately, with the usual
   * back-off. If the database becomes unreachable, a client's request keeps its claim and continues; an attempt of the
   * sweep releases the lease, to try again later.
   */
  async attempt(claim: Claim, work?: unknown): Promise<Ended | undefined> {
    try {
      const ended = await this.performAndSettle(claim, work);
      if (!ended) await lease.uncountAttempt(this.db, claim);
      return ended;
    } catch (error) {
      const ourFault = !isTransient(error);
      if (ourFault || claim.bySweep) {
        const waitMs = await lease.releaseRecord(this.db, claim, true, ourFault);
        if (waitMs === undefined && !ourFault) await lease.uncountAttempt(this.db, claim);
        // Crash before this: the lease runs out, and the sweep's attempt stays counted.
        await this.reached('released', claim);
      }
      throw error;
    }
  }

  /**
   * The second and third beat.
   * @returns undefined if another process has taken over the claim, and this attempt has no irreversible outcome.
   */
  private async performAndSettle(claim: Claim, work?: unknown): Promise<Ended | undefined> {
    const { outside } = this.operations.get(claim.operation);
    if (!outside) throw new Error(`${claim.operation} has no outside call`);
    const loaded = work ?? (await outside.load(this.db, claim));
    await this.reached('before-perform', claim);
    const leftMs = await lease.timeForCalls(this.db, claim, this.options.leaseMs);
    if (leftMs === undefined) return undefined;
    const extend = () => lease.extendLease(this.db, claim, this.options.leaseMs);
    const performed = await outside.perform(loaded, claim, leftMs, extend).catch(failedToPerform);
    // Crash here: only the other service knows the outcome. The next attempt calls it under the same id and gets it
    // again.
    await this.reached('after-perform', claim);
    if (!performed.ended) {
      const inDoubt = claim.inDoubt || performed.inDoubt;
      const waitMs = await lease.releaseRecord(this.db, claim, inDoubt);
      await this.reached('released', claim);
      if (waitMs === undefined) return undefined;
      return { open: performed.error(inDoubt, Math.ceil(waitMs / 1000)) };
    }
    const { outcome } = performed;
    // Crash here: the record is still in progress. The next attempt calls again, and the other service replays its
    // answer.
    const result = await this.settle(this.db, claim, outside.settle(loaded, outcome, claim));
    if (!result) return this.settleLate(outside, loaded, outcome, claim);
    // Crash here: the answer is stored, so the client's retry gets it.
    await this.reached('after-settle', claim);
    return { result };
  }

  /**
   * The third beat: final state, events and answer commit together if the claim still holds.
   * @returns undefined if it does not hold: nothing was written.
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
   * Another process has taken over. An irreversible outcome still settles the record if nothing has settled it yet.
   * Otherwise the new holder could write that nothing happened. It now finds the record completed.
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

  /** The records that are due for the sweep, oldest first. */
  async listRecoverable(limit: number): Promise<IdempotencyRecord[]> {
    const names = this.operations.all().flatMap(({ name, outside }) => (outside ? [name] : []));
    return listRecoverable(this.db, names, limit);
  }

  /**
   * Called by the sweep: completes what another process left. Does nothing if a third process claimed the record
   * first.
   */
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
   * Settles with an outcome from another source, for example the other service's notification, in the caller's
   * transaction. Takes over the record, even from a live holder, which can then no longer write.
   * @returns false if the object's record is already completed, or does not exist.
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

/** A `perform` that throws is our own fault. Wrapped, so that its network error does not look like the database's. */
function failedToPerform(cause: unknown): never {
  throw new Error('perform failed', { cause });
}
