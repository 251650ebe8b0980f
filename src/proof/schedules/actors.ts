import type { CreateCharge } from '../../charges/charge.dto.js';
import { ChargeOperation } from '../../charges/charge.operation.js';
import { Completer } from '../../idempotency/completer.js';
import { deleteExpiredBatch } from '../../idempotency/due-records.js';
import type { EngineOptions } from '../../idempotency/engine-options.js';
import { IdempotencyEngine } from '../../idempotency/engine.js';
import { IdempotencyKeyReused } from '../../idempotency/errors.js';
import { deriveId, fingerprintOf, memberHashes } from '../../idempotency/identity.js';
import { OperationRegistry, SilentProbe, type Answer } from '../../idempotency/operation.js';
import { ProcessorNotifications } from '../../webhooks/incoming/processor-notifications.js';
import type { RefundNotifications } from '../../webhooks/incoming/refund-notifications.js';
import type { Gate } from './gate.js';
import { GatedDatabase, type Session } from './gated-database.js';
import { KEY, notificationOf, type Purchase } from './purchase.js';

/**
 * - `request`: a client's request with the key. `other`: one with the same key and another body.
 * - `sweep`, `reaper`: one round each.
 * - `notification`: the processor reports the payment, as soon as there is one.
 * - `retry`: recovers what a crash left: the client sends its request again.
 */
export type Kind = 'request' | 'other' | 'sweep' | 'reaper' | 'notification' | 'retry';

/** How an actor ended. */
export type End = { answer: Answer } | { error: unknown } | { done: true };

/** No lease, wait or deadline ends by itself: the controller lets time pass. */
const FOREVER_MS = 86_400_000;

/** One process: the service's code on its own connection, behind its own gate. */
export class Actor {
  readonly end: Promise<void>;
  ended: End | undefined;
  /** The sweep logs it and continues: the record stays open, or another process has completed it. */
  warning: unknown;
  private readonly charges: ChargeOperation;
  private readonly completer: Completer;
  private readonly engine: IdempotencyEngine;
  private readonly notifications: ProcessorNotifications;
  private readonly db: GatedDatabase;
  private requests = 0;

  constructor(
    readonly kind: Kind,
    readonly gate: Gate,
    readonly session: Session,
    private readonly purchase: Purchase,
  ) {
    const operations = new OperationRegistry();
    const processor = purchase.ledger.behind(gate);
    const probe = new SilentProbe();
    const options: EngineOptions = {
      waitMs: FOREVER_MS,
      ttlSeconds: 604_800,
      leaseMs: FOREVER_MS,
      reapIntervalMs: FOREVER_MS,
      pause: async () => void (gate.polls = true),
    };
    this.db = new GatedDatabase(session, gate);
    const limits = { deadlineMs: FOREVER_MS, keyWindowMs: FOREVER_MS };
    this.charges = new ChargeOperation(operations, processor, limits);
    this.completer = new Completer(this.db, operations, probe, options);
    this.engine = new IdempotencyEngine(this.db, operations, this.completer, probe, options);
    this.notifications = new ProcessorNotifications(
      this.db,
      this.completer,
      processor,
      this.charges,
      undefined as unknown as RefundNotifications, // for notifications about refunds only
    );
    this.end = this.live();
  }

  private async live(): Promise<void> {
    try {
      this.ended = await this.work();
    } catch (error) {
      this.ended = { error };
    }
    this.gate.end();
  }

  private async work(): Promise<End> {
    const { body, otherBody, ledger } = this.purchase;
    switch (this.kind) {
      case 'request':
        return { answer: await this.request(body) };
      case 'other':
        return { answer: await this.request(otherBody) };
      case 'retry':
        return { answer: await this.retry() };
      case 'sweep':
        for (const record of await this.completer.listRecoverable(20))
          await this.completer.resume(record).catch((error: unknown) => (this.warning = error)); // as the sweep does
        return { done: true };
      case 'reaper':
        await deleteExpiredBatch(this.db, 500);
        return { done: true };
      case 'notification':
        await this.gate.waitFor((happened) => ledger.onPayment(happened));
        await this.notifications.receive(notificationOf(this.purchase));
        return { done: true };
    }
  }

  private async request(body: CreateCharge): Promise<Answer> {
    const { account } = this.purchase;
    const { name, idPrefix } = this.charges;
    const id = deriveId(idPrefix, account, name, KEY);
    const keyed = {
      accountId: account,
      key: KEY,
      operation: name,
      id,
      fingerprint: fingerprintOf({ params: {}, query: {}, body }),
      members: memberHashes(id, body),
      requestId: `req_${this.gate.actor}_${(this.requests += 1)}`,
    };
    return (await this.engine.run(keyed, this.charges.plan(account, body))).answer;
  }

  /** The client whose request holds the key sends it again. */
  private async retry(): Promise<Answer> {
    const { body, otherBody } = this.purchase;
    return this.request(body).catch((error: unknown) => {
      if (error instanceof IdempotencyKeyReused) return this.request(otherBody);
      throw error;
    });
  }
}
