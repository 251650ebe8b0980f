import { NEEDS_ATTENTION } from './attention.js';
import { IdempotencyKeyReused } from './errors.js';
import { mismatchedMembers } from './identity.js';
import type { Answer, Intent } from './operation.js';

/** A request with a key, as the engine sees it. */
export interface KeyedRequest {
  accountId: string;
  key: string;
  operation: string;
  id: string;
  fingerprint: Buffer;
  members: Record<string, string>;
  requestId: string;
}

/** An answer and where it came from. */
export interface Result {
  answer: Answer;
  expiresAt: Date;
  /** False only if this request produced the answer. */
  replayed: boolean;
  /** The id of the request that reserved. */
  originalRequestId: string;
}

/** The right to run the later beats once. Only the holder of the newest epoch may settle. */
export interface Claim extends Intent {
  key: string;
  operation: string;
  epoch: number;
  attempts: number;
  /** Whether an attempt before this one may have had an effect outside. */
  inDoubt: boolean;
  /** When the lease ends, in ms, on the clock of `performance.now()`. */
  leasedUntil: number;
  /** Whether the sweep holds it. Its attempt counts as a failure until it ends otherwise (attention.ts). */
  bySweep: boolean;
}

/**
 * A row of `idempotency_records`.
 *
 * | state | next step | after a crash |
 * |---|---|---|
 * | (no row) | the reserving transaction | nothing happened |
 * | `in_progress`, leased | the holder of the epoch, until the lease ends | the lease runs out; any process takes over |
 * | `in_progress`, free | a retry, a waiter or the sweep claims the next epoch | stays free |
 * | `in_progress`, free, needs attention | a retry; or a person gives it back to the sweep | unchanged |
 * | `completed` | none; after `expires_at` it counts as absent | stays completed |
 */
export interface IdempotencyRecord {
  account_id: string;
  key: string;
  operation: string;
  resource_id: string;
  fingerprint: Buffer;
  members: Record<string, string>;
  request_id: string;
  state: 'in_progress' | 'completed';
  epoch: number;
  attempts: number;
  in_doubt: boolean;
  first_seen_at: Date;
  completed_at: Date | null;
  expires_at: Date | null;
  response_status: number | null;
  response_headers: Record<string, string> | null;
  response_body: string | null;
  /** Compared with the database's clock when the row was read, so that expiry does not depend on the reaper. */
  expired: boolean;
  /** No process holds the record, or its lease has ended. */
  free: boolean;
  /** The sweep no longer retries it (attention.ts). */
  needs_attention: boolean;
  /** How many attempts of the sweep failed through our own fault. */
  failures: number;
  /** The rest of the lease, in ms; 0 if no process holds the record. */
  lease_left_ms: number;
  /** The last holder did not release its lease: we do not know what it did outside. */
  abandoned: boolean;
}

export const RECORD_COLUMNS = `account_id, key, operation, resource_id, fingerprint, members, request_id, state, epoch, attempts,
  in_doubt, first_seen_at, completed_at, expires_at, response_status, response_headers, response_body,
  COALESCE(expires_at <= clock_timestamp(), false) AS expired,
  state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), true) AS free,
  state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), false) AS abandoned,
  GREATEST(EXTRACT(EPOCH FROM lease_expires_at - clock_timestamp()) * 1000, 0)::float8 AS lease_left_ms,
  failures, ${NEEDS_ATTENTION} AS needs_attention`;

/** @throws IdempotencyKeyReused if the record belongs to another intent than the request. */
export function refuseAnotherIntent(record: IdempotencyRecord, request: KeyedRequest): void {
  if (record.operation !== request.operation)
    throw new IdempotencyKeyReused(`for another operation, ${record.operation}`, []);
  if (!record.fingerprint.equals(request.fingerprint)) {
    const mismatched = mismatchedMembers(record.members, request.members);
    throw new IdempotencyKeyReused('with another request', mismatched);
  }
}

/** The answer that a completed record stores. */
export function resultOf(record: IdempotencyRecord, replayed: boolean): Result {
  const { response_status, response_headers, response_body, expires_at } = record;
  if (response_status === null || !response_headers || response_body === null || !expires_at) {
    throw new Error('a completed record has no answer'); // the CHECK constraint forbids it
  }
  return {
    answer: { status: response_status, headers: response_headers, body: response_body },
    expiresAt: expires_at,
    replayed,
    originalRequestId: record.request_id,
  };
}

/** The claim that a record in progress describes. */
export function claimOf(record: IdempotencyRecord): Claim {
  return {
    accountId: record.account_id,
    id: record.resource_id,
    requestId: record.request_id,
    key: record.key,
    operation: record.operation,
    epoch: record.epoch,
    attempts: record.attempts,
    inDoubt: record.in_doubt,
    leasedUntil: performance.now() + record.lease_left_ms,
    bySweep: false,
  };
}
