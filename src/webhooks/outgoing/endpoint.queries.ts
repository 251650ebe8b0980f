import { randomBytes } from 'node:crypto';
import type { Queryable, Tx } from '../../database/database.js';
import { failDeliveriesOf } from './delivery.queries.js';
import type { Endpoint } from './endpoint.entity.js';

export const ENDPOINT_COLUMNS = 'account_id, id, url, events, created_at, disabled_at';

/** How long the previous secret signs after a rotation: time to deploy the new one to every receiver. */
const ROTATION = "interval '24 hours'";

const SELECT_ENDPOINT = `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
  WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL`;

export async function findEndpoint(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Endpoint | undefined> {
  const rows = await db.query<Endpoint>(SELECT_ENDPOINT, [accountId, id]);
  return rows[0];
}

export async function listEnabledEndpoints(tx: Tx, accountId: string): Promise<Endpoint[]> {
  return tx.query(
    `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
     WHERE account_id = $1 AND deleted_at IS NULL AND disabled_at IS NULL`,
    [accountId],
  );
}

/** Locks an endpoint, so that two rotations of its secret run one after the other. */
export async function lockEndpoint(
  tx: Tx,
  accountId: string,
  id: string,
): Promise<Endpoint | undefined> {
  const rows = await tx.query<Endpoint>(`${SELECT_ENDPOINT} FOR UPDATE`, [accountId, id]);
  return rows[0];
}

/** The receiver answered 410 (Gone). */
export async function disableEndpoint(tx: Tx, accountId: string, id: string): Promise<void> {
  await tx.query(
    `UPDATE webhook_endpoints SET disabled_at = now() WHERE account_id = $1 AND id = $2 AND disabled_at IS NULL`,
    [accountId, id],
  );
}

/** @returns undefined if the id belongs to an endpoint that is not deleted. */
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
    // A deleted endpoint had the same id.
    await endSecrets(tx, account_id, id);
    await endDeliveries(tx, account_id, id);
  }
  return rows[0];
}

/**
 * Deletes an endpoint, ends its secrets and fails its pending deliveries: a thousand now, the rest when they are due, so
 * that a long backlog does not keep the endpoint. Deliveries in flight finish. Idempotent.
 * @returns false if the endpoint never existed.
 */
export async function deleteEndpoint(tx: Tx, accountId: string, id: string): Promise<boolean> {
  const found = await tx.query(
    `UPDATE webhook_endpoints SET deleted_at = COALESCE(deleted_at, now()) WHERE account_id = $1 AND id = $2
     RETURNING id`,
    [accountId, id],
  );
  if (found.length === 0) return false;
  await endSecrets(tx, accountId, id);
  await failDeliveriesOf(tx, accountId, id);
  return true;
}

async function endSecrets(tx: Tx, accountId: string, endpointId: string): Promise<void> {
  await tx.query(
    `UPDATE webhook_secrets SET expires_at = now()
     WHERE account_id = $1 AND endpoint_id = $2 AND (expires_at IS NULL OR expires_at > now())`,
    [accountId, endpointId],
  );
}

async function endDeliveries(tx: Tx, accountId: string, endpointId: string): Promise<void> {
  await tx.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL
     WHERE account_id = $1 AND endpoint_id = $2 AND status = 'pending'`,
    [accountId, endpointId],
  );
}

/**
 * Gives an endpoint a new secret. The previous one signs for a day longer, whatever follows: the response of this
 * rotation may be lost, and the client then rotates again with another key.
 * @returns the secret; undefined if this id already made one.
 */
export async function addSecret(
  tx: Tx,
  accountId: string,
  endpointId: string,
  id: string,
): Promise<string | undefined> {
  // Standard Webhooks: `whsec_` and 24 to 64 random bytes in base64.
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const rows = await tx.query(
    `INSERT INTO webhook_secrets (account_id, id, endpoint_id, secret) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account_id, id) DO NOTHING RETURNING id`,
    [accountId, id, endpointId, secret],
  );
  if (rows.length === 0) return undefined;
  await tx.query(
    `UPDATE webhook_secrets SET expires_at = now() + ${ROTATION}
     WHERE account_id = $1 AND endpoint_id = $2 AND id <> $3 AND expires_at IS NULL`,
    [accountId, endpointId, id],
  );
  return secret;
}
