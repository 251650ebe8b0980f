import type { Bug, Patch } from './bug.js';

const RECORDS = 'src/idempotency/records.ts';
const RECORDS_TABLE = 'migrations/1796083202000-idempotency-records.ts';
const CHARGES_TABLE = 'migrations/1796083204000-charges.ts';
const REFUNDS_TABLE = 'migrations/1796083205000-refunds.ts';
const EFFECTS_TABLE = 'migrations/1796083207000-effects.ts';
const PROGRESS = 'src/idempotency/progress.ts';
const DUE = 'src/idempotency/due-records.ts';
const REFUND_NEWS = 'src/webhooks/incoming/refund-notifications.ts';

/** A constraint that checks nothing. It keeps the name, which comments refer to. */
const NO_CONSTRAINT = 'CHECK (true),';

/** Without this patch, a refund that is settled twice throws, and the second transaction rolls back. */
const REFUND_ENDS_AGAIN: Patch = {
  file: 'src/refunds/refund.queries.ts',
  text: "AND status = 'pending' RETURNING",
  replacement: 'RETURNING',
};

/**
 * Guards that have a second guard. Where the second guard alone hides the loss of the first, both are removed:
 * docs/proof.md says which guard was effective.
 */
export const BUGS_OF_GUARDS: Bug[] = [
  {
    name: 'no unique constraint',
    patches: [
      { file: RECORDS_TABLE, text: 'PRIMARY KEY (account_id, key),', replacement: NO_CONSTRAINT },
      {
        file: RECORDS_TABLE,
        text: 'UNIQUE (resource_id, account_id),',
        replacement: NO_CONSTRAINT,
      },
      // The second guard: the derived id of the charge.
      {
        file: CHARGES_TABLE,
        text: 'charges_pkey PRIMARY KEY (account_id, id)',
        replacement: 'charges_pkey CHECK (true)',
      },
      {
        file: REFUNDS_TABLE,
        text: 'FOREIGN KEY (account_id, charge_id) REFERENCES charges (account_id, id),',
        replacement: NO_CONSTRAINT,
      },
      {
        file: EFFECTS_TABLE,
        text: 'FOREIGN KEY (account_id, charge_id)\n          REFERENCES charges (account_id, id),',
        replacement: NO_CONSTRAINT,
      },
    ],
    foundBy: ['one object for a key'],
  },
  {
    name: 'the record in a second transaction',
    patches: [
      {
        file: 'src/idempotency/engine.ts',
        text: 'insertOrFindRecord(tx, request, leaseMs);',
        replacement: 'insertOrFindRecord(db, request, leaseMs);',
      },
    ],
    mostly: 'sale',
    foundBy: ['nothing is stuck', 'a record needs a request'],
  },
  {
    name: 'no epoch check',
    patches: [
      {
        file: RECORDS,
        text: 'AND epoch = $4 AND completed_at IS NULL\n     FOR UPDATE',
        replacement: 'AND $4::integer > 0\n     FOR UPDATE',
      },
      {
        file: RECORDS,
        text: 'AND epoch = ${$(4)}\n         AND completed_at IS NULL\n',
        replacement: 'AND ${$(4)}::integer > 0\n',
      },
      REFUND_ENDS_AGAIN,
    ],
    // The call takes longer, so that more refunds are between it and their last transaction when a pause begins.
    cells: ['api → postgres × pause', 'api → processor × latency'],
    mostly: 'refund',
    ms: 180_000,
    foundBy: ['refunds agree'],
  },
  {
    name: 'expiry deletes what runs',
    patches: [
      {
        file: DUE,
        text: "WHERE state = 'completed' AND expires_at <= now()\n         ORDER BY expires_at",
        replacement:
          "WHERE COALESCE(expires_at, first_seen_at + interval '1 second') <= clock_timestamp()\n         ORDER BY first_seen_at",
      },
      {
        file: DUE,
        text: 'AND completed_at IS NOT NULL AND expires_at <= now()',
        replacement: 'AND COALESCE(expires_at, now()) <= now()',
      },
    ],
    cells: ['api → processor × latency', 'api → processor × hang'],
    foundBy: [
      'a seen answer is stored',
      'an answered request is replayed',
      '422 needs another request',
      'a refused key is unused',
      'nothing is stuck',
    ],
  },
  {
    name: 'the error of a COMMIT taken for a rollback',
    patches: [
      {
        file: PROGRESS,
        text: 'if (this.sent && isConnectionLost(error) && wasSent(error)) this.inDoubt = true;',
        replacement: 'void error;',
      },
      // The second guard: the request waits for the database and reads the record.
      {
        file: PROGRESS,
        text: 'const tooLong = performance.now() - this.loss.since > RECONNECT_MS;',
        replacement: 'const tooLong = RECONNECT_MS > 0;',
      },
    ],
    cells: ['api → postgres × commit-answer', 'api → postgres × commit-lost'],
    foundBy: ['a record needs a request'],
  },
  {
    name: 'a worker without dedupe',
    patches: [
      {
        file: 'src/effects/fulfillments.ts',
        text: "const id = deriveId('ful', accountId, 'fulfillment', orderId);",
        replacement: "const id = deriveId('ful', accountId, 'fulfillment', String(Math.random()));",
      },
      // The second guard: an order has one shipment, whatever its id.
      { file: EFFECTS_TABLE, text: 'UNIQUE (account_id, order_id),', replacement: NO_CONSTRAINT },
    ],
    cells: ['worker → postgres × commit-answer'],
    mostly: 'sale',
    foundBy: ['one shipment'],
  },
  {
    name: 'a webhook applied before its dedupe',
    patches: [
      {
        file: 'src/webhooks/incoming/processor-notifications.ts',
        text: 'if (claimed.length > 0) await',
        replacement: 'void claimed; await',
      },
      // The second guard: the state of the refund. A refund that has ended is not counted again.
      {
        file: REFUND_NEWS,
        text: "if (end.status === 'failed') {\n      const { reference } = news;",
        replacement: `if (end.status === 'succeeded') {
      const charge = await lockCharge(tx, account, refund.charge_id);
      await addRefunded(tx, charge!, refund.amount);
    }
    if (end.status === 'failed') {
      const { reference } = news;`,
      },
      {
        file: REFUND_NEWS,
        text: 'import { findCharge, findChargePaidBy,',
        replacement: 'import { addRefunded, findCharge, findChargePaidBy, lockCharge,',
      },
    ],
    mostly: 'refund',
    foundBy: ['refunds agree'],
  },
];
