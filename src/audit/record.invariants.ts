import { NEEDS_ATTENTION } from '../idempotency/attention.js';
import type { Invariant } from './invariant.js';

/** What the keyed operations make, and where it is kept. A new operation that is not listed is a finding. */
const OBJECTS = [
  { operation: 'POST /charges', prefix: 'ch', object: 'charge', table: 'charges' },
  { operation: 'POST /charges/{id}/refunds', prefix: 're', object: 'refund', table: 'refunds' },
  { operation: 'compensation', prefix: 're', object: 'owed_refund', table: 'refunds' },
  { operation: 'POST /orders', prefix: 'ord', object: 'order', table: 'orders' },
  {
    operation: 'POST /events/{id}/resend',
    prefix: 'rs',
    object: 'resend',
    table: 'event_resends',
  },
  {
    operation: 'POST /webhook-endpoints',
    prefix: 'we',
    object: 'endpoint',
    table: 'webhook_endpoints',
  },
  {
    operation: 'POST /webhook-endpoints/{id}/rotate-secret',
    prefix: 'whs',
    object: 'secret',
    table: 'webhook_secrets',
  },
] as const;

/** Beyond the lease and the time of the next attempt: the sweep comes every second, a minute is no delay but a stop. */
const OVERDUE_SECONDS = 60;

const KINDS = `(VALUES ${OBJECTS.map((o) => `('${o.operation}', '${o.prefix}')`).join(', ')})
  AS kind (operation, prefix)`;

/** The idempotency records by themselves, and what they must have beside them. */
export const RECORD_INVARIANTS: readonly Invariant[] = [
  ...OBJECTS.map(({ operation, object, table }) => ({
    name: `record_without_its_${object}`,
    why: 'Reserve writes both or neither; no foreign key says so, because records are reaped and objects stay.',
    sql: `SELECT record.account_id, record.resource_id AS id, 'no such row in ${table}' AS detail
      FROM idempotency_records AS record
      WHERE record.operation = '${operation}' AND NOT EXISTS (
        SELECT 1 FROM ${table} AS made
        WHERE made.account_id = record.account_id AND made.id = record.resource_id)`,
  })),
  {
    name: 'record_of_an_unknown_operation',
    why: 'A renamed operation derives other ids; a new one has no invariants here yet.',
    sql: `SELECT record.account_id, record.resource_id AS id, record.operation AS detail
      FROM idempotency_records AS record
      WHERE NOT EXISTS (SELECT 1 FROM ${KINDS} WHERE kind.operation = record.operation)`,
  },
  {
    name: 'record_under_another_name',
    // An internal key is the cause after a §, which no client can send.
    why: 'The id is derived from account, operation and key; under another one the primary key guards nothing.',
    sql: `SELECT record.account_id, record.resource_id AS id, 'its key derives ' || derived.id AS detail
      FROM idempotency_records AS record
      JOIN ${KINDS} ON kind.operation = record.operation
      CROSS JOIN LATERAL (SELECT ('x' || encode(substr(sha256(convert_to('[' || concat_ws(',',
          to_json(record.account_id), to_json(record.operation), to_json(ltrim(record.key, '§'))) || ']', 'UTF8')), 1, 20),
        'hex'))::bit(160) AS bits) AS hash
      CROSS JOIN LATERAL (SELECT kind.prefix || '_' || string_agg(
          substr('0123456789abcdefghijklmnopqrstuv', substring(hash.bits FROM digit * 5 + 1 FOR 5)::integer + 1, 1),
          '' ORDER BY digit) AS id
        FROM generate_series(0, 31) AS digit) AS derived
      WHERE record.resource_id <> derived.id`,
  },
  {
    name: 'record_without_its_account',
    why: 'The engine knows no accounts, so that no foreign key holds its table to them.',
    sql: `SELECT record.account_id, record.resource_id AS id, 'no such account' AS detail
      FROM idempotency_records AS record
      WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.id = record.account_id)`,
  },
  {
    name: 'record_overdue',
    why: 'Whatever crashed, the sweep claims it when its lease and its pause are over; this one it does not.',
    sql: `SELECT account_id, resource_id AS id, 'attempt ' || attempts || ', due since ' || due AS detail
      FROM (SELECT *, GREATEST(first_seen_at, lease_expires_at, next_attempt_at) AS due
        FROM idempotency_records WHERE state = 'in_progress' AND NOT needs_attention) AS unfinished
      WHERE due < now() - interval '${OVERDUE_SECONDS} seconds'`,
  },
  {
    name: 'record_needs_attention',
    why: 'Each attempt failed by a fault of ours, so the sweep has stopped; a person must set it going again.',
    sql: `SELECT account_id, resource_id AS id, attempts || ' attempts, ' || failures || ' failed in recovery' AS detail
      FROM idempotency_records WHERE ${NEEDS_ATTENTION}`,
  },
  {
    name: 'record_completed_without_its_answer',
    why: 'A retry would find that its request had ended, and nothing to be told.',
    sql: `SELECT account_id, resource_id AS id, 'completed, but not all of the answer is there' AS detail
      FROM idempotency_records
      WHERE state = 'completed'
        AND num_nulls(completed_at, expires_at, response_status, response_headers, response_body) > 0`,
  },
  {
    name: 'record_in_progress_with_an_answer',
    why: 'Half a settle was committed: the next attempt would write another answer over this one.',
    sql: `SELECT account_id, resource_id AS id, 'in progress, but an answer is stored' AS detail
      FROM idempotency_records
      WHERE state = 'in_progress'
        AND num_nonnulls(completed_at, expires_at, response_status, response_headers, response_body) > 0`,
  },
  {
    name: 'record_completed_but_leased',
    why: 'Settling ends the lease; a holder that remains believes that it may still settle.',
    sql: `SELECT account_id, resource_id AS id, 'completed, but with a lease or a next attempt' AS detail
      FROM idempotency_records
      WHERE state = 'completed' AND num_nonnulls(lease_expires_at, next_attempt_at) > 0`,
  },
  {
    name: 'record_stores_no_outcome',
    why: 'A stored 4xx or 5xx would be replayed for ever, whatever had become of the money.',
    sql: `SELECT account_id, resource_id AS id, 'stores ' || response_status AS detail
      FROM idempotency_records
      WHERE NOT (response_status BETWEEN 200 AND 299 OR response_status = 402)`,
  },
  {
    name: 'record_answers_with_another_object',
    why: 'The answer is text; nothing in the database holds it to the object that the key stands for.',
    sql: `SELECT account_id, resource_id AS id, 'the stored answer names another object, or none' AS detail
      FROM idempotency_records
      WHERE state = 'completed' AND CASE response_status
        WHEN 200 THEN false -- shows what was there before, not what it made
        WHEN 402 THEN strpos(response_body, ':"' || resource_id || '"') = 0
        ELSE NOT starts_with(response_body, '{"id":"' || resource_id || '"')
          OR right(response_headers ->> 'Location', length(resource_id) + 1) <> '/' || resource_id
        END`,
  },
  {
    name: 'record_epoch_below_attempts',
    why: 'Each attempt claims an epoch of its own; two attempts in one epoch could both settle.',
    sql: `SELECT account_id, resource_id AS id, 'epoch ' || epoch || ', attempts ' || attempts AS detail
      FROM idempotency_records WHERE epoch < attempts`,
  },
  {
    name: 'records_share_a_key',
    why: 'The primary key decides every race; a damaged index would decide none.',
    sql: `SELECT account_id, min(resource_id) AS id, count(*) || ' records' AS detail
      FROM idempotency_records GROUP BY account_id, key HAVING count(*) > 1`,
  },
  {
    name: 'records_share_an_object',
    why: 'One object is one intent, and one intent has one key.',
    sql: `SELECT account_id, resource_id AS id, count(*) || ' records' AS detail
      FROM idempotency_records GROUP BY account_id, resource_id HAVING count(*) > 1`,
  },
];
