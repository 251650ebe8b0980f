import type { EntityManager } from 'typeorm';
import { createAccount } from '../../src/accounts/accounts.js';
import { deriveId } from '../../src/idempotency/identity.js';

/** The ids of one account's charges: one of each status. */
export interface Ids {
  account: string;
  id: string;
  failed: string;
  pending: string;
}

/** Books in order, as the API would have written them, without the API. */
export async function writeCleanBooks(db: EntityManager, name: string): Promise<Ids> {
  const account = await createAccount(db, name);
  // Awkward keys: JSON escapes two of these characters, and the derived id depends on how.
  const [id, failed, pending] = ['order "1" \\ payment', 'order-2', 'order-3'].map((key) => {
    return { key, id: deriveId('ch', account, 'POST /charges', key) };
  }) as [Named, Named, Named];
  const paid = wire(id.id, 'succeeded');
  const declined = {
    type: '/problems/card_declined',
    decline_code: 'expired_card',
    charge: failed.id,
  };
  await writeRecord(db, account, id, { status: 201, body: paid, location: `/charges/${id.id}` });
  await writeRecord(db, account, failed, { status: 402, body: declined });
  await writeRecord(db, account, pending);
  await writeCharge(db, account, id.id, 'succeeded', `pi_${name}`);
  await writeCharge(db, account, failed.id, 'failed', null);
  await writeCharge(db, account, pending.id, 'pending', null);
  return { account, id: id.id, failed: failed.id, pending: pending.id };
}

interface Named {
  key: string;
  id: string;
}

function wire(id: string, status: string): object {
  return { id, object: 'charge', amount: 1200, amount_refunded: 0, currency: 'eur', status };
}

async function writeRecord(
  db: EntityManager,
  account: string,
  { key, id }: Named,
  answer?: { status: number; body: object; location?: string },
): Promise<void> {
  await db.query(
    `INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
       state, epoch, attempts, in_doubt, first_seen_at, lease_expires_at, completed_at, expires_at,
       response_status, response_headers, response_body)
     VALUES ($1, $2, 'POST /charges', $3, '\\x00', '{}', 'req_1', $4, 1, 1, false, now(),
       CASE $4 WHEN 'in_progress' THEN now() + interval '10 seconds' END,
       CASE $4 WHEN 'completed' THEN now() END, CASE $4 WHEN 'completed' THEN now() + interval '7 days' END,
       $5, $6, $7)`,
    [
      account,
      key,
      id,
      answer ? 'completed' : 'in_progress',
      answer?.status,
      answer && JSON.stringify(answer.location ? { Location: answer.location } : {}),
      answer && JSON.stringify(answer.body),
    ],
  );
}

async function writeCharge(
  db: EntityManager,
  account: string,
  id: string,
  status: 'succeeded' | 'failed' | 'pending',
  reference: string | null,
): Promise<void> {
  const metadata = { charge: id, account };
  await db.query(
    `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, metadata, failure_code,
       processor, processor_parameters, processor_reference, settled_at)
     VALUES ($1, $2, $3, 1200, 'eur', 'pm_card_visa', '{}', CASE $3 WHEN 'failed' THEN 'card_declined' END,
       'sandbox', $4, $5, CASE WHEN $3 <> 'pending' THEN now() END)`,
    [account, id, status, JSON.stringify({ amount: 1200, currency: 'eur', metadata }), reference],
  );
}
