/** SQL that breaks an invariant. `$account`, `$id`, `$failed` and so on are the ids of clean-books.ts. */
export interface Fault {
  invariant: string;
  /** Other invariants that the fault breaks. */
  also?: string[];
  /** Constraints that refuse the fault, as `table.constraint` or `INDEX name`. */
  drop?: string[];
  sql: string;
}

const RECORD = `UPDATE idempotency_records SET`;
const CHARGE = `UPDATE charges SET`;
const OF_CHARGE = `WHERE resource_id = '$id'`;
const IS_CHARGE = `WHERE id = '$id'`;
const NO_ANSWER = `completed_at = NULL, expires_at = NULL, response_status = NULL, response_headers = NULL,
  response_body = NULL`;

/** Records and charges. */
export const CHARGE_FAULTS: readonly Fault[] = [
  { invariant: 'record_without_its_charge', sql: `DELETE FROM charges ${IS_CHARGE}` },
  {
    invariant: 'record_of_an_unknown_operation',
    sql: `${RECORD} operation = 'POST /payments' ${OF_CHARGE}`,
  },
  {
    invariant: 'record_under_another_name',
    sql: `${RECORD} key = 'another' ${OF_CHARGE}`,
  },
  {
    invariant: 'record_without_its_account',
    drop: [
      'charges.charges_account_fkey',
      'api_keys.api_keys_account_fkey',
      'orders.orders_account_fkey',
      'products.products_account_fkey',
      'events.events_account_fkey',
      'webhook_endpoints.webhook_endpoints_account_fkey',
    ],
    sql: `DELETE FROM accounts WHERE id = '$account'`,
  },
  {
    invariant: 'record_overdue',
    sql: `${RECORD} first_seen_at = now() - interval '9 minutes',
      lease_expires_at = now() - interval '61 seconds' WHERE resource_id = '$pending'`,
  },
  {
    invariant: 'record_overdue',
    sql: `${RECORD} first_seen_at = now() - interval '9 minutes', lease_expires_at = NULL,
      next_attempt_at = now() - interval '61 seconds' WHERE resource_id = '$pending'`,
  },
  {
    invariant: 'record_needs_attention',
    sql: `${RECORD} failures = 20, needs_attention = true, lease_expires_at = now() - interval '61 seconds'
      WHERE resource_id = '$pending'`,
  },
  {
    invariant: 'record_stores_no_outcome',
    also: ['charge_contradicts_its_answer'],
    sql: `${RECORD} response_status = 503, response_body = '{"id":"$id","amount":1200,"currency":"eur"}'
      ${OF_CHARGE}`,
  },
  {
    invariant: 'record_answers_with_another_object',
    sql: `${RECORD} response_body = replace(response_body, '$id', '$failed') ${OF_CHARGE}`,
  },
  {
    invariant: 'record_answers_with_another_object',
    sql: `${RECORD} response_headers = '{"Location":"/charges/$failed"}' ${OF_CHARGE}`,
  },
  {
    invariant: 'record_answers_with_another_object',
    sql: `${RECORD} response_body = replace(response_body, '$failed', '$id') WHERE resource_id = '$failed'`,
  },
  {
    invariant: 'record_epoch_below_attempts',
    sql: `${RECORD} attempts = epoch + 1 ${OF_CHARGE}`,
  },
  {
    invariant: 'charge_without_its_record',
    sql: `DELETE FROM idempotency_records ${OF_CHARGE}`,
  },
  {
    invariant: 'charge_without_its_record',
    sql: `DELETE FROM idempotency_records WHERE resource_id = '$pending';
      ${CHARGE} created_at = now() - interval '1 year' WHERE id = '$pending'`,
  },
  {
    invariant: 'charge_contradicts_its_answer',
    sql: `${CHARGE} status = 'pending', settled_at = NULL ${IS_CHARGE}`,
  },
  {
    invariant: 'charge_contradicts_its_answer',
    sql: `${RECORD} state = 'in_progress', ${NO_ANSWER} ${OF_CHARGE}`,
  },
  {
    invariant: 'charge_contradicts_its_answer',
    sql: `${CHARGE} status = 'failed', failure_code = 'abandoned' ${IS_CHARGE}`,
  },
  {
    invariant: 'charge_contradicts_its_answer',
    sql: `${CHARGE} status = 'succeeded', failure_code = NULL, processor_reference = 'pi_none'
      WHERE id = '$failed'`,
  },
  {
    invariant: 'charge_answered_with_another_amount',
    sql: `${RECORD} response_body = replace(response_body, '"amount":1200,', '"amount":12000,') ${OF_CHARGE}`,
  },
  {
    invariant: 'charge_answered_with_another_amount',
    sql: `${RECORD} response_body = replace(response_body, '"eur"', '"usd"') ${OF_CHARGE}`,
  },
  ...['"amount":1200,', '"charge":"$id"', '"account":"$account"'].map((member) => ({
    invariant: 'charge_with_parameters_of_another',
    sql: `${CHARGE} processor_parameters = replace(processor_parameters, '${member}', '') ${IS_CHARGE}`,
  })),
  {
    invariant: 'charge_with_parameters_of_another',
    sql: `${CHARGE} processor_parameters = replace(processor_parameters, '"eur"', '"usd"') ${IS_CHARGE}`,
  },
  {
    invariant: 'charges_share_a_processor_reference',
    sql: `INSERT INTO naive_charges (account_id, id, amount, currency, payment_method, processor_reference)
      SELECT account_id, 'ch_zzz', amount, currency, payment_method, processor_reference
      FROM charges ${IS_CHARGE}`,
  },
  ...[
    ['$id', 'succeeded_after_failed'],
    ['ch_absent', 'succeeded_after_failed'],
    ['ch_absent', 'amount_mismatch'],
    ['$id', 'second_payment'],
  ].map(([charge, reason]) => ({
    invariant: 'parked_payment_that_its_charge_contradicts',
    sql: `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
      SELECT '$account', COALESCE((SELECT processor_reference FROM charges WHERE id = '${charge}'), 'pi_late'),
        '${charge}', 1200, 'eur', '${reason}'`,
  })),
];
