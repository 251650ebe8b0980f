import type { Fault } from './faults.js';

/** Adds a job about an object, as the code does; `parked` also uses up its attempts. */
export const queued = (member: string, id: string, account = '$account') =>
  `; SELECT graphile_worker.add_job('some-job', '{"account":"${account}","${member}":"${id}"}', max_attempts => 25)`;
export const parked = (member: string, id: string) =>
  `${queued(member, id)}; UPDATE graphile_worker._private_jobs SET attempts = max_attempts`;

const OF_ACCOUNT = `WHERE account_id = '$account'`;
const PAID = 'evt_charge.succeeded_$bought';
const DELIVERY = `webhook_deliveries WHERE id = '$delivery'`;
const BOOKING = `stock_movements WHERE cause = '$bought' AND kind = 'book'`;
const DECIDE = `INSERT INTO sale_cancellations (account_id, order_id, charge_id, reason)
  VALUES ('$account', '$order', '$bought', 'out_of_stock')`;
const UNSHIP = `DELETE FROM ${BOOKING};
  UPDATE products SET on_hand = on_hand + 2, held = held + 2 ${OF_ACCOUNT};
  DELETE FROM fulfillments ${OF_ACCOUNT}; UPDATE orders SET fulfillment_id = NULL ${OF_ACCOUNT}`;

/** Not a fault while a job about the object still has to run. `jobs`: the payload's member that names the object. */
export const UNFINISHED: readonly (Fault & { jobs: [member: string, id: string][] })[] = [
  {
    invariant: 'event_without_its_receipt',
    sql: `DELETE FROM sent_emails ${OF_ACCOUNT} AND event_id = '${PAID}'`,
    jobs: [['event', PAID]],
  },
  {
    invariant: 'event_without_its_shipment',
    also: ['event_without_its_outcome'],
    sql: UNSHIP,
    jobs: [
      ['event', 'evt_order.paid_$order'],
      ['order', '$order'],
    ],
  },
  {
    invariant: 'shipment_half_way',
    sql: `UPDATE fulfillments SET step = 'labelled' ${OF_ACCOUNT}`,
    jobs: [['fulfillment', '$shipment']],
  },
  {
    invariant: 'sale_canceled_half_way',
    also: ['event_without_its_outcome'],
    sql: `${UNSHIP}; ${DECIDE}`,
    jobs: [['order', '$order']],
  },
  {
    invariant: 'event_without_its_delivery',
    sql: `DELETE FROM webhook_attempts WHERE delivery_id = '$delivery'; DELETE FROM ${DELIVERY}`,
    jobs: [['event', 'evt_fulfillment.created_$shipment']],
  },
];

const REFUSE_OWED = `UPDATE refunds SET status = 'failed', failure_code = 'charge_disputed' WHERE id = '$owed';
  UPDATE charges SET amount_refunded = 0 WHERE id = '$returned'`;
/** Another attempt at a refund that we owe. */
const OWED_AGAIN = (id: string, name: string, status: string, amount: number) => `
  INSERT INTO refunds (account_id, id, charge_id, status, amount, currency, cause, failure_code, processor,
    processor_parameters, processor_reference, settled_at)
  SELECT account_id, '${id}', charge_id, '${status}', ${amount}, currency, '${name}',
    CASE '${status}' WHEN 'failed' THEN 'charge_disputed' END, processor,
    replace(replace(processor_parameters, '$owed', '${id}'), '1200', '${amount}'), 're_of_${id}',
    CASE WHEN '${status}' <> 'pending' THEN now() END
  FROM refunds WHERE id = '$owed'`;

/** An event without its effects, an effect without its event, and an effect twice. */
export const EFFECT_FAULTS: readonly Fault[] = [
  ...UNFINISHED,
  {
    invariant: 'event_without_its_receipt', // started, not sent
    sql: `UPDATE sent_emails SET sent_at = NULL, lease_expires_at = now() ${OF_ACCOUNT} AND event_id = '${PAID}'`,
  },
  {
    invariant: 'event_without_its_receipt', // the charge has its own address
    sql: `UPDATE events SET data = '{"object":{"receipt_email":"eve@shop.test"}}' WHERE cause = '$id'`,
  },
  {
    invariant: 'receipt_without_its_event',
    sql: `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch)
      VALUES ('$account', '<planted>', 'evt_charge.failed_$failed', 'ann@shop.test', 1)`,
  },
  {
    invariant: 'shipment_without_its_sale',
    sql: DECIDE,
    also: ['sale_canceled_half_way'],
  },
  ...[`status = 'open', charge_id = NULL`, `charge_id = '$id'`].map((broken) => ({
    invariant: 'shipment_without_its_sale',
    also: [
      'charge_of_an_order_that_does_not_show_it',
      ...(broken.startsWith('status') ? [] : ['order_contradicts_its_charge']),
    ],
    sql: `UPDATE orders SET ${broken} ${OF_ACCOUNT} AND id = '$order'`,
  })),
  {
    invariant: 'shipment_without_its_sale', // the order does not show it
    sql: `UPDATE orders SET fulfillment_id = NULL ${OF_ACCOUNT} AND id = '$order'`,
  },
  ...[
    ['$owed', 'kindness:$returned'],
    ['$refund', 'out_of_stock:$bought'],
    ['$refund', 'out_of_stock:$returned'],
  ].map(([refund, cause]) => ({
    invariant: 'refund_owed_without_its_decision',
    drop: ['INDEX refunds_one_live_per_cause'],
    sql: `UPDATE refunds SET cause = '${cause}' WHERE id = '${refund}'`,
  })),
  {
    invariant: 'refund_owed_but_refused',
    also: ['order_canceled_but_not_refunded'],
    sql: REFUSE_OWED,
  },
  {
    invariant: 'refund_owed_but_refused', // the newest refund counts
    also: ['order_canceled_but_not_refunded'],
    sql: `${REFUSE_OWED}; ${OWED_AGAIN('re_planted', 'out_of_stock:$returned#2', 'failed', 1200)}`,
  },
  {
    invariant: 'refund_owed_without_its_decision', // the other account canceled an order of the same id
    also: ['event_without_its_shipment'],
    sql: `DELETE FROM sale_cancellations ${OF_ACCOUNT}`,
  },
  {
    invariant: 'effect_twice',
    sql: `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch, sent_at)
      VALUES ('$account', '<planted>', '${PAID}', 'ann@shop.test', 1, now())`,
  },
];

/** Not a fault: the processor refused the refund that we owe, and the next one succeeded. */
export const OWED_AT_LAST = `${REFUSE_OWED};
  ${OWED_AGAIN('re_planted', 'out_of_stock:$returned#2', 'succeeded', 1200)};
  UPDATE charges SET amount_refunded = 1200 WHERE id = '$returned'`;

const SECRETS = `UPDATE webhook_secrets SET expires_at`;
const ENDPOINT = `UPDATE webhook_endpoints SET`;
const DELIVER_AGAIN = (id: string) => `
  INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, next_attempt_at)
  SELECT account_id, '${id}', endpoint_id, event_id, 'failed', NULL FROM ${DELIVERY}`;

/** Endpoints and deliveries. */
export const DELIVERY_FAULTS: readonly Fault[] = [
  {
    invariant: 'endpoint_without_its_secret',
    sql: `${SECRETS} = now() + interval '1 hour' WHERE endpoint_id = '$endpoint'`,
  },
  {
    invariant: 'endpoint_without_its_secret',
    sql: `${SECRETS} = NULL WHERE endpoint_id = '$endpoint'`,
  },
  {
    invariant: 'event_without_its_delivery', // the endpoint subscribes to every event
    sql: `${ENDPOINT} events = '["*"]' WHERE id = '$endpoint'`,
  },
  {
    invariant: 'delivery_without_its_event',
    sql: `${ENDPOINT} events = '[]' WHERE id = '$endpoint'`, // the endpoint subscribes to none
  },
  {
    invariant: 'event_delivered_twice', // the resend was of another event
    sql: `INSERT INTO event_resends (account_id, id, event_id)
      VALUES ('$account', 'rs_1', 'evt_order.paid_$order');
      ${DELIVER_AGAIN('del_planted')}`,
  },
  {
    invariant: 'event_delivered_twice', // resent once, delivered three times
    also: ['resend_without_its_deliveries'], // to the other endpoint
    sql: `INSERT INTO event_resends (account_id, id, event_id)
      VALUES ('$account', 'rs_1', 'evt_fulfillment.created_$shipment');
      ${DELIVER_AGAIN('del_resent')}; ${DELIVER_AGAIN('del_planted')}`,
  },
  {
    invariant: 'resend_without_its_deliveries',
    sql: `INSERT INTO event_resends (account_id, id, event_id)
      VALUES ('$account', 'rs_1', 'evt_fulfillment.created_$shipment')`,
  },
  {
    invariant: 'resend_without_its_deliveries', // one of two resends, and to one of two endpoints only
    sql: `INSERT INTO event_resends (account_id, id, event_id)
      VALUES ('$account', 'rs_1', 'evt_fulfillment.created_$shipment'),
        ('$account', 'rs_2', 'evt_fulfillment.created_$shipment');
      ${DELIVER_AGAIN('del_resent')}`,
  },
  {
    invariant: 'delivery_contradicts_its_attempts', // abandoned, but the receiver has it
    sql: `UPDATE webhook_deliveries SET status = 'failed' WHERE id = '$delivery'`,
  },
  {
    invariant: 'delivery_contradicts_its_attempts', // no 2xx answer
    sql: `UPDATE webhook_attempts SET response_status = 500 WHERE delivery_id = '$delivery'`,
  },
  {
    invariant: 'delivery_contradicts_its_attempts', // an attempt without a row
    sql: `DELETE FROM webhook_attempts WHERE delivery_id = '$delivery' AND number = 1`,
  },
  {
    invariant: 'delivery_contradicts_its_attempts', // retried, but the receiver has it
    sql: `UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now() WHERE id = '$delivery'`,
  },
  {
    invariant: 'delivery_overdue',
    sql: `UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now() - interval '1 hour'
      WHERE id = '$delivery';
      UPDATE webhook_attempts SET response_status = NULL WHERE delivery_id = '$delivery'`,
  },
  {
    invariant: 'event_not_relayed',
    sql: `UPDATE events SET relayed_at = NULL, created_at = now() - interval '1 hour' WHERE cause = '$shipment'`,
  },
];
