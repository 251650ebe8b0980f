import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { inTransaction, type Tx } from './ledger.schema.js';
import { addRefunded, lockIntent } from './payment-intents.ledger.js';
import { chargeObject } from './payment-intents.object.js';
import { refundObject, type RefundRow } from './refunds.routes.js';
import { insertEvent } from './webhooks/events.ledger.js';

/** How often it looks for due refunds, in ms. */
const POLL_MS = 500;

/**
 * Changes refunds after their response was sent (docs.stripe.com/testing#refunds): those of `pm_card_refundFail`
 * first succeed and then fail, those of `pm_card_pendingRefund` are first pending and then succeed. The due time is
 * in the ledger, so after a kill any sandbox on it continues.
 */
export function startTurning(pool: pg.Pool, onFailure: (error: unknown) => void) {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await turnDue(pool).catch(onFailure);
      await sleep(POLL_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}

async function turnDue(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<RefundRow>(
    'SELECT * FROM sandbox.refunds WHERE turns_at <= now() ORDER BY turns_at LIMIT 100',
  );
  for (const row of rows) await inTransaction(pool, (tx) => turn(tx, row));
}

async function turn(tx: Tx, { id, payment_intent }: RefundRow): Promise<void> {
  // Locks the payment first, in the same order as when a refund is created.
  await lockIntent(tx, payment_intent);
  const { rows } = await tx.query<RefundRow>(
    `UPDATE sandbox.refunds SET turns_at = NULL,
       status = CASE status WHEN 'pending' THEN 'succeeded' ELSE 'failed' END,
       failure_reason = CASE status WHEN 'succeeded' THEN 'expired_or_canceled_card' END
     WHERE id = $1 AND turns_at IS NOT NULL RETURNING *`,
    [id],
  );
  const [refund] = rows;
  if (!refund) return; // another sandbox has changed it
  if (refund.status === 'failed') {
    const intent = await addRefunded(tx, payment_intent, -Number(refund.amount));
    await insertEvent(tx, 'refund.failed', refundObject(refund));
    await insertEvent(tx, 'charge.updated', chargeObject(intent) ?? {});
  }
  await insertEvent(tx, 'refund.updated', refundObject(refund));
  await insertEvent(tx, 'charge.refund.updated', refundObject(refund));
}
