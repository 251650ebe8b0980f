import type { Invariant } from './invariant.js';

/** What charges and refunds have in common: reserved as `pending`, ended by the settle that stores the answer. */
export function threeBeatInvariants(object: 'charge' | 'refund'): Invariant[] {
  const table = `${object}s`;
  // No client retries a refund that we owe: it needs its record until it ends.
  const keyed = object === 'refund' ? '(made.cause IS NULL OR made.settled_at IS NULL)' : 'true';
  // The answer is a snapshot: a refund that failed after it had succeeded was answered with 201.
  const answered =
    object === 'refund' ? `CASE WHEN made.reversed_at IS NULL THEN 402 ELSE 201 END` : '402';
  const withRecord = `${table} AS made JOIN idempotency_records AS record
        ON record.account_id = made.account_id AND record.resource_id = made.id`;
  return [
    {
      name: `${object}_without_its_record`,
      why: 'While the key lives a retry must find the answer; while the object is pending the sweep must find it.',
      sql: `SELECT made.account_id, made.id, made.status || ', but no record' AS detail
      FROM ${table} AS made
      WHERE ${keyed} AND made.rebuilt_at IS NULL AND COALESCE(made.settled_at > now() - $1 * interval '1 second', true) AND NOT EXISTS (
        SELECT 1 FROM idempotency_records AS record
        WHERE record.account_id = made.account_id AND record.resource_id = made.id)`,
    },
    {
      name: `${object}_pending_but_its_record_completed`,
      why: 'Nobody works on a completed record: this would stay pending for ever.',
      sql: `SELECT made.account_id, made.id, 'answered ' || record.response_status AS detail
      FROM ${withRecord}
      WHERE made.status = 'pending' AND record.state = 'completed'`,
    },
    {
      name: `${object}_ended_but_its_record_in_progress`,
      why: 'Settle writes both: the next attempt could not end this again, and no retry would get its answer.',
      sql: `SELECT made.account_id, made.id, made.status AS detail
      FROM ${withRecord}
      WHERE made.status <> 'pending' AND record.state = 'in_progress'`,
    },
    {
      name: `${object}_contradicts_its_answer`,
      why: 'The client believes the answer: with 201 the money moved, with 402 it did not.',
      sql: `SELECT made.account_id, made.id, made.status || ', answered ' || record.response_status AS detail
      FROM ${withRecord}
      WHERE record.response_status <> CASE made.status WHEN 'succeeded' THEN 201 WHEN 'failed' THEN ${answered} END`,
    },
    {
      name: `${object}_answered_with_another_amount`,
      why: 'Amount and currency never change, so that a snapshot of any age shows them.',
      sql: `SELECT made.account_id, made.id, made.amount || ' ' || made.currency || ' is not in the answer' AS detail
      FROM ${withRecord}
      WHERE record.response_status = 201
        AND (strpos(record.response_body, '"amount":' || made.amount || ',') = 0
          OR strpos(record.response_body, '"currency":"' || made.currency || '"') = 0)`,
    },
    {
      name: `${object}_with_parameters_of_another`,
      why: 'Every repeat sends the stored text: it must move this amount, under this name, for this account.',
      sql: `SELECT account_id, id, 'amount, account or the id differs' AS detail
      FROM ${table}
      WHERE strpos(processor_parameters, '"amount":' || amount || ',') = 0
        OR strpos(processor_parameters, '"${object}":"' || id || '"') = 0
        OR strpos(processor_parameters, '"account":"' || account_id || '"') = 0`,
    },
    {
      name: `${object}_succeeded_without_processor_reference`,
      why: 'Done, says who? Without the reference nobody can show it, or undo it.',
      sql: `SELECT account_id, id, 'no processor_reference' AS detail
      FROM ${table} WHERE status = 'succeeded' AND processor_reference IS NULL`,
    },
    {
      name: `${object}_of_unknown_status`,
      why: 'A state that is in no list is moved on by nobody.',
      sql: `SELECT account_id, id, status AS detail
      FROM ${table} WHERE status NOT IN ('pending', 'succeeded', 'failed')`,
    },
    {
      name: `${object}_failure_code_contradicts_its_status`,
      why: 'What failed says why; anything else has nothing to say.',
      sql: `SELECT account_id, id, status || ', failure_code ' || COALESCE(failure_code, 'absent') AS detail
      FROM ${table} WHERE (status = 'failed') <> (failure_code IS NOT NULL)`,
    },
    {
      name: `${object}_settled_at_contradicts_its_status`,
      why: 'It is pending until it is settled, and from then on never again.',
      sql: `SELECT account_id, id, status || ', settled_at ' || COALESCE(settled_at::text, 'absent') AS detail
      FROM ${table} WHERE (status = 'pending') <> (settled_at IS NULL)`,
    },
  ];
}
