import type { Invariant } from './invariant.js';

/** Everything that must have been told, and by which cause it is known. */
const HAPPENED = `(
        SELECT account_id, 'charge.' || status AS type, id AS cause FROM charges WHERE status <> 'pending'
        UNION ALL SELECT account_id, 'charge.refunded', id FROM refunds
          WHERE status = 'succeeded' OR reversed_at IS NOT NULL
        UNION ALL SELECT account_id, 'refund.failed', id FROM refunds WHERE reversed_at IS NOT NULL
        UNION ALL SELECT account_id, 'order.paid', id FROM orders WHERE status <> 'open' AND charge_id IS NOT NULL
        UNION ALL SELECT account_id, 'order.canceled', id FROM orders WHERE status = 'canceled'
        UNION ALL SELECT account_id, 'fulfillment.created', id FROM fulfillments) AS happened`;

/** Events: told in the transaction in which it happens, so that neither side is there without the other. */
export const EVENT_INVARIANTS: readonly Invariant[] = [
  {
    name: 'outcome_without_its_event',
    why: 'Whatever follows from it (the receipt, the shipment, the webhook) will not.',
    sql: `SELECT happened.account_id, happened.cause AS id, 'no event ' || happened.type AS detail
      FROM ${HAPPENED}
      WHERE NOT EXISTS (SELECT 1 FROM events AS event WHERE event.account_id = happened.account_id
        AND event.type = happened.type AND event.cause = happened.cause)`,
  },
  {
    name: 'event_without_its_outcome',
    why: 'Something was announced, and perhaps sent, that has not happened.',
    sql: `SELECT event.account_id, event.id, event.type || ' of ' || event.cause AS detail
      FROM events AS event
      WHERE NOT EXISTS (SELECT 1 FROM ${HAPPENED} WHERE happened.account_id = event.account_id
          AND happened.type = event.type AND happened.cause = event.cause)
        -- Told of every refund that fails, but not by earlier versions: it may be missing of one that never succeeded.
        AND NOT (event.type = 'refund.failed' AND EXISTS (SELECT 1 FROM refunds AS refund
          WHERE refund.account_id = event.account_id AND refund.id = event.cause AND refund.status = 'failed'))`,
  },
  {
    name: 'events_tell_the_same',
    why: 'The id is derived from type and cause: one outcome is one event, one receipt, one delivery to each endpoint.',
    sql: `SELECT account_id, min(id) AS id, count(*) || ' times ' || type || ' of ' || cause AS detail
      FROM events GROUP BY account_id, type, cause HAVING count(*) > 1`,
  },
];
