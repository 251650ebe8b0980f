import { QUEUED_JOBS } from '../jobs/queue-tables.js';
import type { Invariant } from './invariant.js';

const jobsAbout = (account: string, member: string, id: string) =>
  `${QUEUED_JOBS} AS job WHERE job.payload ->> 'account' = ${account} AND job.payload ->> '${member}' = ${id}`;

/** Until then its jobs and deliveries do not exist yet; `event_not_relayed` names the event that waits too long. */
const isRelayed = 'event.relayed_at IS NOT NULL';

/**
 * While a job about an object is still to run nothing is missing: each job leaves the queue after the commit of what it
 * did, the job that follows included. A parked one waits for a person, and excuses nothing.
 */
const nobodyIsAt = (...about: [account: string, member: string, id: string]) =>
  `NOT EXISTS (SELECT 1 FROM ${jobsAbout(...about)} AND NOT job.is_parked)`;

/** Where nobody is at it: the number with which `npm run jobs -- retry` sets it going again. */
const parked = (...about: [account: string, member: string, id: string]) =>
  `COALESCE((SELECT 'job ' || min(job.id) || ' is parked' FROM ${jobsAbout(...about)}), 'no job for it')`;

/** What should have followed, and nobody is at it any more. */
const MISSING: readonly Invariant[] = [
  {
    name: 'event_without_its_receipt',
    why: 'The customer has paid, has told us an address, and hears nothing.',
    sql: `SELECT event.account_id, event.id, ${parked('event.account_id', 'event', 'event.id')} AS detail
      FROM events AS event
      LEFT JOIN orders ON orders.account_id = event.account_id AND orders.id = event.data #>> '{object,order}'
      WHERE event.type = 'charge.succeeded'
        AND COALESCE(event.data #>> '{object,receipt_email}', orders.email) IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM sent_emails AS mail
          WHERE mail.account_id = event.account_id AND mail.event_id = event.id AND mail.sent_at IS NOT NULL)
        AND ${isRelayed} AND ${nobodyIsAt('event.account_id', 'event', 'event.id')}`,
  },
  {
    name: 'event_without_its_shipment',
    why: 'A paid order is shipped, or its sale is canceled; there is no third way.',
    sql: `SELECT event.account_id, event.id, concat_ws(', ', 'order ' || event.cause,
          ${parked('event.account_id', 'event', 'event.id')}, ${parked('event.account_id', 'order', 'event.cause')})
          AS detail
      FROM events AS event
      WHERE event.type = 'order.paid'
        AND NOT EXISTS (SELECT 1 FROM fulfillments AS shipment
          WHERE shipment.account_id = event.account_id AND shipment.order_id = event.cause)
        AND NOT EXISTS (SELECT 1 FROM sale_cancellations AS sale
          WHERE sale.account_id = event.account_id AND sale.order_id = event.cause)
        AND ${isRelayed} AND ${nobodyIsAt('event.account_id', 'event', 'event.id')}
        AND ${nobodyIsAt('event.account_id', 'order', 'event.cause')}`,
  },
  {
    name: 'shipment_half_way',
    why: 'Its job walks all the steps; without one it stays where it is.',
    sql: `SELECT shipment.account_id, shipment.id, shipment.step || ', '
          || ${parked('shipment.account_id', 'fulfillment', 'shipment.id')} AS detail
      FROM fulfillments AS shipment
      WHERE shipment.step <> 'handed_over' AND ${nobodyIsAt('shipment.account_id', 'fulfillment', 'shipment.id')}`,
  },
  {
    name: 'sale_canceled_half_way',
    why: 'Once that is decided the order is not shipped: the money must go back and the order be canceled.',
    sql: `SELECT sale.account_id, sale.order_id AS id, 'the order is ' || orders.status || ', '
          || ${parked('sale.account_id', 'order', 'sale.order_id')} AS detail
      FROM sale_cancellations AS sale
      JOIN orders ON orders.account_id = sale.account_id AND orders.id = sale.order_id
      WHERE orders.status <> 'canceled' AND ${nobodyIsAt('sale.account_id', 'order', 'sale.order_id')}`,
  },
  {
    name: 'refund_owed_but_refused',
    why: 'The customer waits for money that we owe; the job comes back, but until a person looks it changes nothing.',
    sql: `SELECT refund.account_id, refund.id, concat_ws(', ', refund.failure_code,
          charge.amount - charge.amount_refunded || ' ' || charge.currency || ' of ' || charge.id || ' left') AS detail
      FROM refunds AS refund
      JOIN charges AS charge ON charge.account_id = refund.account_id AND charge.id = refund.charge_id
      WHERE refund.cause IS NOT NULL AND refund.status = 'failed' AND charge.amount_refunded < charge.amount
        AND NOT EXISTS (SELECT 1 FROM refunds AS next
          WHERE next.account_id = refund.account_id AND next.charge_id = refund.charge_id
            AND split_part(next.cause, '#', 1) = split_part(refund.cause, '#', 1)
            AND (next.status <> 'failed' OR (length(next.cause), next.cause) > (length(refund.cause), refund.cause)))`,
  },
];

/** What has happened without its cause, or more than once for it. */
const UNCAUSED: readonly Invariant[] = [
  {
    name: 'receipt_without_its_event',
    why: 'Somebody was told of a payment that nobody made; a foreign key knows events, not what they tell.',
    sql: `SELECT mail.account_id, mail.event_id AS id, mail.message_id AS detail
      FROM sent_emails AS mail
      WHERE NOT EXISTS (SELECT 1 FROM events AS event
        WHERE event.account_id = mail.account_id AND event.id = mail.event_id AND event.type = 'charge.succeeded')`,
  },
  {
    name: 'shipment_without_its_sale',
    why: 'Something leaves the house that its order does not show, that nobody has paid for, or whose money goes back.',
    sql: `SELECT shipment.account_id, shipment.id, concat_ws(' ', 'order', shipment.order_id, 'is',
          COALESCE(orders.status, 'absent'), 'by', orders.charge_id, 'with', orders.fulfillment_id,
          ', to be canceled: ' || sale.reason) AS detail
      FROM fulfillments AS shipment
      LEFT JOIN orders ON orders.account_id = shipment.account_id AND orders.id = shipment.order_id
      LEFT JOIN sale_cancellations AS sale
        ON sale.account_id = shipment.account_id AND sale.order_id = shipment.order_id
      WHERE sale.order_id IS NOT NULL OR (orders.status, orders.charge_id, orders.fulfillment_id)
        IS DISTINCT FROM ('paid', shipment.charge_id, shipment.id)`,
  },
  {
    name: 'refund_owed_without_its_decision',
    why: 'A refund that no client asked for is made for one reason only: the sale of that charge was canceled.',
    sql: `SELECT refund.account_id, refund.id, refund.cause AS detail
      FROM refunds AS refund
      WHERE refund.cause IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sale_cancellations AS sale
        WHERE sale.account_id = refund.account_id AND sale.charge_id = refund.charge_id
          AND sale.reason || ':' || sale.charge_id = split_part(refund.cause, '#', 1))`,
  },
  {
    name: 'effect_twice',
    why: 'One cause, one effect: keys and unique indexes say so, and a damaged one says nothing.',
    sql: `SELECT account_id, cause AS id, count(*) || ' times ' || what AS detail
      FROM (
        SELECT account_id, event_id AS cause, 'receipt' AS what FROM sent_emails
        UNION ALL SELECT account_id, order_id, 'shipment' FROM fulfillments
        UNION ALL SELECT account_id, cause, kind || ' of ' || sku FROM stock_movements
        UNION ALL SELECT account_id, charge_id, 'refund for ' || split_part(cause, '#', 1) FROM refunds
        WHERE cause IS NOT NULL AND status <> 'failed') AS effect
      GROUP BY account_id, cause, what HAVING count(*) > 1`,
  },
];

/**
 * What follows from events inside the house, in both directions and once. (What was really sent, the mail server and
 * the carrier know; this is what our rows say of it.)
 */
export const EFFECT_INVARIANTS: readonly Invariant[] = [...MISSING, ...UNCAUSED];

/** An endpoint that is younger than this, seen from an event, may have been committed after its fan-out. */
const SETTLED_IN = "interval '1 minute'";

/** Longer than a restart of all workers, and than a queue of deliveries for one slow endpoint should be. */
const OVERDUE = "interval '10 minutes'";

const WANTED = `endpoint.events::jsonb ?| ARRAY[event.type, '*']`;

/** What merchants are told: endpoints, deliveries, attempts. */
export const DELIVERY_INVARIANTS: readonly Invariant[] = [
  {
    name: 'endpoint_without_its_secret',
    why: 'Nothing that is sent to it can be signed; a rotation leaves one secret that does not end.',
    sql: `SELECT endpoint.account_id, endpoint.id, count(secret.id) || ' secrets that do not end' AS detail
      FROM webhook_endpoints AS endpoint
      LEFT JOIN webhook_secrets AS secret ON secret.account_id = endpoint.account_id
        AND secret.endpoint_id = endpoint.id AND secret.expires_at IS NULL
      WHERE endpoint.deleted_at IS NULL
      GROUP BY endpoint.account_id, endpoint.id HAVING count(secret.id) <> 1`,
  },
  {
    name: 'event_without_its_delivery',
    why: 'An endpoint of that account wants it, and nobody will tell it.',
    sql: `SELECT event.account_id, event.id, 'none to ' || endpoint.id || ', '
          || ${parked('event.account_id', 'event', 'event.id')} AS detail
      FROM events AS event JOIN webhook_endpoints AS endpoint ON endpoint.account_id = event.account_id
      WHERE endpoint.created_at < event.created_at - ${SETTLED_IN}
        AND endpoint.deleted_at IS NULL AND endpoint.disabled_at IS NULL AND ${WANTED}
        AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS delivery WHERE delivery.account_id = event.account_id
          AND delivery.endpoint_id = endpoint.id AND delivery.event_id = event.id)
        AND ${isRelayed} AND ${nobodyIsAt('event.account_id', 'event', 'event.id')}`,
  },
  {
    name: 'resend_without_its_deliveries',
    why: 'Somebody was told that the event is sent once more, to each endpoint that wants it; their rows commit together.',
    sql: `SELECT resent.account_id, resent.event_id AS id, concat_ws(' ', told.times, 'deliveries to', resent.endpoint_id,
          'instead of', resent.times) AS detail
      FROM (SELECT resend.account_id, resend.event_id, endpoint.id AS endpoint_id,
          count(*) + CASE WHEN endpoint.created_at < event.created_at - ${SETTLED_IN}
            AND ${isRelayed} AND ${nobodyIsAt('event.account_id', 'event', 'event.id')} THEN 1 ELSE 0 END AS times
        FROM event_resends AS resend
        JOIN events AS event ON event.account_id = resend.account_id AND event.id = resend.event_id
        JOIN webhook_endpoints AS endpoint ON endpoint.account_id = resend.account_id
        WHERE endpoint.created_at < resend.created_at - ${SETTLED_IN}
          AND endpoint.deleted_at IS NULL AND endpoint.disabled_at IS NULL AND ${WANTED}
        GROUP BY resend.account_id, resend.event_id, endpoint.id, endpoint.created_at, event.account_id, event.id,
          event.created_at, event.relayed_at) AS resent
      CROSS JOIN LATERAL (SELECT count(*) AS times FROM webhook_deliveries AS delivery
        WHERE delivery.account_id = resent.account_id AND delivery.event_id = resent.event_id
          AND delivery.endpoint_id = resent.endpoint_id) AS told
      WHERE told.times < resent.times`,
  },
  {
    name: 'event_not_relayed',
    why: 'The relay takes milliseconds. No worker runs, or none can relay: nothing follows from this event.',
    sql: `SELECT account_id, id, type || ' of ' || created_at AS detail
      FROM events WHERE relayed_at IS NULL AND created_at < now() - ${OVERDUE}`,
  },
  {
    name: 'delivery_overdue',
    why: 'A due delivery is attempted within seconds, also after a crash. No worker runs, or each attempt ends it.',
    sql: `SELECT account_id, id, attempts || ' attempts, due since ' || next_attempt_at AS detail
      FROM webhook_deliveries WHERE status = 'pending' AND next_attempt_at < now() - ${OVERDUE}`,
  },
  {
    name: 'delivery_without_its_event',
    why: 'A merchant was told of what has not happened, or of what that endpoint did not ask for.',
    sql: `SELECT delivery.account_id, delivery.id, delivery.event_id || ' to ' || delivery.endpoint_id AS detail
      FROM webhook_deliveries AS delivery
      JOIN webhook_endpoints AS endpoint
        ON endpoint.account_id = delivery.account_id AND endpoint.id = delivery.endpoint_id
      WHERE delivery.created_at > endpoint.created_at + ${SETTLED_IN} -- one that was made anew may want others
        AND NOT EXISTS (SELECT 1 FROM events AS event
          WHERE event.account_id = delivery.account_id AND event.id = delivery.event_id AND ${WANTED})`,
  },
  {
    name: 'event_delivered_twice',
    why: 'Once to an endpoint, and once more for each resend that somebody asked for.',
    sql: `SELECT account_id, event_id AS id, told.times || ' times to ' || told.endpoint_id AS detail
      FROM (SELECT account_id, event_id, endpoint_id, count(*) AS times FROM webhook_deliveries
        GROUP BY account_id, event_id, endpoint_id HAVING count(*) > 1) AS told
      LEFT JOIN (SELECT account_id, event_id, count(*) AS times FROM event_resends
        GROUP BY account_id, event_id) AS resent USING (account_id, event_id)
      WHERE told.times > 1 + COALESCE(resent.times, 0)`,
  },
  {
    name: 'delivery_contradicts_its_attempts',
    why: 'Each attempt has a row before it has an effect, and one that was answered well ends its delivery.',
    sql: `SELECT delivery.account_id, delivery.id, concat_ws(' ', delivery.status, 'after', delivery.attempts,
          'attempts,', made.total, 'written,', made.good, 'of them good') AS detail
      FROM webhook_deliveries AS delivery CROSS JOIN LATERAL (
        SELECT count(*) AS total, count(*) FILTER (WHERE response_status BETWEEN 200 AND 299) AS good
        FROM webhook_attempts AS attempt
        WHERE attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id) AS made
      WHERE delivery.attempts <> made.total OR (delivery.status = 'succeeded' AND made.good = 0)
        OR (delivery.status <> 'succeeded' AND made.good > 0)`,
  },
];
