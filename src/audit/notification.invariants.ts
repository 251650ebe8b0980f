import type { Invariant } from './invariant.js';

/**
 * Beyond the worker's look every few seconds: a minute is no delay but a stop. It looks at thousands in a round, so that
 * each that waits may delay the others by a millisecond.
 */
const OVERDUE = `(interval '60 seconds'
        + (SELECT count(*) FROM processor_events WHERE state = 'waiting') * interval '1 millisecond')`;
/** Beyond the thirty days for which the worker keeps what nobody comes for. */
const KEPT = "interval '31 days'";

/**
 * The notifications with what each is about: a refund that names none of ours is the one with its reference.
 * `there_since` is when the row came, which a rebuilt one did late.
 */
const TOLD = `(
        SELECT event.account_id, event.id, event.state, event.received_at,
          COALESCE(event.refund_id, event.charge_id) AS object_id,
          event.fact -> 'answer' ->> 'kind' AS kind, event.fact ->> 'reference' AS reference,
          object.status, object.processor_reference, object.there_since, event.refund_id IS NOT NULL AS is_refund
        FROM processor_events AS event
        LEFT JOIN LATERAL (
          SELECT status, processor_reference, GREATEST(created_at, rebuilt_at) AS there_since FROM charges
          WHERE event.refund_id IS NULL AND charges.account_id = event.account_id AND charges.id = event.charge_id
          UNION ALL
          SELECT status, processor_reference, GREATEST(created_at, rebuilt_at) FROM refunds
          WHERE refunds.account_id = event.account_id AND CASE WHEN event.fact ->> 'madeElsewhereAt' IS NULL
            THEN refunds.id = event.refund_id
            ELSE event.refund_id IS NOT NULL AND refunds.processor_reference = event.fact ->> 'reference' END
          ) AS object ON true) AS told`;

/** What the processor has told us by itself, and what has become of it. */
export const NOTIFICATION_INVARIANTS: readonly Invariant[] = [
  {
    name: 'notification_applied_to_nothing',
    why: 'Its charge or refund is not there; applied, it will not be applied when that appears.',
    sql: `SELECT account_id, id, 'no ' || object_id AS detail
      FROM ${TOLD} WHERE state = 'applied' AND status IS NULL`,
  },
  {
    name: 'notification_applied_but_its_object_pending',
    why: 'An end was told, acknowledged and not written: it will not come again.',
    sql: `SELECT account_id, id, object_id || ' is pending, was told ' || kind AS detail
      FROM ${TOLD} WHERE state = 'applied' AND status = 'pending'`,
  },
  {
    name: 'notification_of_a_success_that_nothing_shows',
    why: 'Money moved, and neither the object nor a parked payment accounts for it.',
    sql: `SELECT account_id, id, concat_ws(' ', object_id, 'is', status, 'by', COALESCE(processor_reference, 'nothing'))
          || ', not by ' || reference AS detail
      FROM ${TOLD} WHERE state = 'applied' AND kind = 'succeeded' AND status IN ('succeeded', 'failed')
        -- A refund may fail after it had succeeded, and keeps its name at the processor.
        AND (processor_reference IS DISTINCT FROM reference OR (status = 'failed' AND NOT is_refund))`,
  },
  {
    name: 'notification_waiting_for_what_is_there',
    why: 'The worker applies it as soon as its charge or refund is there; this one it does not.',
    sql: `SELECT account_id, id, object_id || ' is ' || status AS detail
      FROM ${TOLD} WHERE state = 'waiting' AND GREATEST(received_at, there_since) < now() - ${OVERDUE}
        AND status IS NOT NULL`,
  },
  {
    name: 'notification_kept_too_long',
    why: 'What nobody came for in thirty days is removed by the worker, so that the table does not grow for ever.',
    sql: `SELECT account_id, id, 'since ' || received_at AS detail
      FROM ${TOLD} WHERE state = 'waiting' AND received_at < now() - ${KEPT}`,
  },
  {
    name: 'notification_parked_without_its_payment',
    why: 'A person looks at the parked payments, and the alarm counts them; this one nobody sees.',
    sql: `SELECT account_id, id, COALESCE(reference, 'no reference') || ' of ' || object_id AS detail
      FROM ${TOLD} WHERE state = 'parked' AND NOT EXISTS (
        SELECT 1 FROM parked_payments AS parked
        WHERE parked.account_id = told.account_id AND parked.processor_reference = told.reference)`,
  },
  {
    name: 'notifications_share_an_id',
    why: 'The primary key decides between two deliveries of one event; a damaged index would decide nothing.',
    sql: `SELECT min(account_id) AS account_id, id, count(*) || ' times from ' || processor AS detail
      FROM processor_events GROUP BY processor, id HAVING count(*) > 1`,
  },
  {
    name: 'notification_of_unknown_state',
    why: 'A state that is in no list is moved on by nobody.',
    sql: `SELECT account_id, id, state AS detail
      FROM ${TOLD} WHERE state NOT IN ('applied', 'waiting', 'parked')`,
  },
];
