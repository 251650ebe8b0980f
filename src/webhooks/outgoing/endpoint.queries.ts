import { randomBytes } from 'node:crypto';
import type { Queryable, Tx } from '../../database/database.js';
import type { Endpoint } from './endpoint.entity.js';

export const ENDPOINT_COLUMNS = 'account_id, id, url, events, created_at, disabled_at';

/** How long an old secret goes on signing after a rotation: time to bring the new one to every receiver. */
const ROTATION = "interval '24 hours'";

export async function findEndpoint(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Endpoint | undefined> {
  const rows = await db.query<Endpoint>(
    `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
     WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL`,
    [accountId, id],
  );
  return rows[0];
}

/** Where an account has its events sent to. */
export async function listEnabledEndpoints(tx: Tx, accountId: string): Promise<Endpoint[]> {
  return tx.query(
    `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
     WHERE account_id = $1 AND deleted_at IS NULL AND disabled_at IS NULL`,
    [accountId],
  );
}

/** Locks an endpoint, so that two rotations of its secret come one after the other. */
export async function lockEndpoint(
  tx: Tx,
  accountId: string,
  id: string,
): Promise<Endpoint | undefined> {
  const rows = await tx.query<Endpoint>(
    `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
     WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE`,
    [accountId, id],
  );
  return rows[0];
}

/** The receiver has said (410) that it wants no more. */
export async function disableEndpoint(tx: Tx, accountId: string, id: string): Promise<void> {
  await tx.query(
    `UPDATE webhook_endpoints SET disabled_at = now() WHERE account_id = $1 AND id = $2 AND disabled_at IS NULL`,
    [accountId, id],
  );
}

/** @returns undefined if the id is taken by an endpoint that was not deleted. */
export async function insertEndpoint(
  tx: Tx,
  { account_id, id, url, events }: Pick<Endpoint, 'account_id' | 'id' | 'url' | 'events'>,
): Promise<Endpoint | undefined> {
  const rows = await tx.query<Endpoint>(
    `INSERT INTO webhook_endpoints (account_id, id, url, events) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account_id, id) DO UPDATE
       SET url = excluded.url, events = excluded.events, created_at = excluded.created_at,
         disabled_at = NULL, deleted_at = NULL
       WHERE webhook_endpoints.deleted_at IS NOT NULL
     RETURNING ${ENDPOINT_COLUMNS}`,
    [account_id, id, url, JSON.stringify(events)],
  );
  if (rows[0]) {
    // Of one that had this id before.
    await endSecrets(tx, account_id, id);
    await endDeliveries(tx, account_id, id, 'all');
  }
  return rows[0];
}

/**
 * Deletes an endpoint, and with it its secrets and what was still to be delivered: one that is made anew under its id
 * has neither. What an attempt is under way for ends with that. Again is no error.
 * @returns false if there never was one.
 */
export async function deleteEndpoint(tx: Tx, accountId: string, id: string): Promise<boolean> {
  const found = await tx.query(
    `UPDATE webhook_endpoints SET deleted_at = COALESCE(deleted_at, now()) WHERE account_id = $1 AND id = $2
     RETURNING id`,
    [accountId, id],
  );
  if (found.length === 0) return false;
  await endSecrets(tx, accountId, id);
  await endDeliveries(tx, accountId, id, 'idle');
  return true;
}

async function endSecrets(tx: Tx, accountId: string, endpointId: string): Promise<void> {
  await tx.query(
    `UPDATE webhook_secrets SET expires_at = now()
     WHERE account_id = $1 AND endpoint_id = $2 AND (expires_at IS NULL OR expires_at > now())`,
    [accountId, endpointId],
  );
}

/** @param which `idle` spares those that an attempt is under way for: it may be that the receiver takes it. */
async function endDeliveries(
  tx: Tx,
  accountId: string,
  endpointId: string,
  which: 'idle' | 'all',
): Promise<void> {
  await tx.query(
    `UPDATE webhook_deliveries AS delivery SET status = 'failed', next_attempt_at = NULL
     WHERE account_id = $1 AND endpoint_id = $2 AND status = 'pending'
       AND ($3 = 'all' OR next_attempt_at <= now() OR NOT EXISTS (
         SELECT 1 FROM webhook_attempts AS attempt
         WHERE attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id
           AND attempt.number = delivery.attempts AND attempt.response_status IS NULL AND attempt.error IS NULL))`,
    [accountId, endpointId, which],
  );
}

/**
 * Gives an endpoint a new secret. The one before it goes on signing for a while, older ones end: two are valid at most,
 * and who rotates twice has withdrawn a secret.
 * @returns the secret, or undefined if one was made under this id before.
 */
export async function addSecret(
  tx: Tx,
  accountId: string,
  endpointId: string,
  id: string,
): Promise<string | undefined> {
  // Standard Webhooks: 24 to 64 random bytes in base64 behind a prefix.
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const rows = await tx.query(
    `INSERT INTO webhook_secrets (account_id, id, endpoint_id, secret) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account_id, id) DO NOTHING RETURNING id`,
    [accountId, id, endpointId, secret],
  );
  if (rows.length === 0) return undefined;
  await tx.query(
    `UPDATE webhook_secrets SET expires_at = CASE WHEN expires_at IS NULL THEN now() + ${ROTATION} ELSE now() END
     WHERE account_id = $1 AND endpoint_id = $2 AND id <> $3 AND (expires_at IS NULL OR expires_at > now())`,
    [accountId, endpointId, id],
  );
  return secret;
}
