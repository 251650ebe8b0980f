import { expect } from '@jest/globals';
import { deriveId } from '../../support/internals.js';
import type { Running, Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import {
  event,
  intent,
  lostPayment,
  notify,
  statesOf,
  type PendingCharge,
} from './incoming.support.js';

/** The worker. Its sweep cannot reach the processor, so only notifications end charges. */
export function startWorkerWithoutProcessor(service: Service): Promise<Running> {
  service.gate.be('refusing');
  return service.startWorker();
}

/** The sweep ends what no test has ended. */
export async function endCharges(service: Service): Promise<void> {
  await service.db.query(
    'UPDATE idempotency_records SET next_attempt_at = now() WHERE next_attempt_at > now()',
  );
  const worker = await service.startWorker();
  await until(async () => {
    const { rows } = await service.db.query(`SELECT 1 FROM charges WHERE status = 'pending'`);
    return rows.length === 0;
  });
  await worker.stop();
}

/** A database restored from before the charge. The returned function restores a newer one. */
export async function restoreOlderBackup(
  { db }: Service,
  table: 'charges' | 'refunds',
  id: string,
): Promise<() => Promise<void>> {
  const { rows: objects } = await db.query(`DELETE FROM ${table} WHERE id = $1 RETURNING *`, [id]);
  const { rows: records } = await db.query(
    'DELETE FROM idempotency_records WHERE resource_id = $1 RETURNING *',
    [id],
  );
  expect([objects.length, records.length]).toEqual([1, 1]);
  const insert = async (into: string, row: Record<string, unknown>) => {
    await db.query(`INSERT INTO ${into} SELECT * FROM json_populate_record(NULL::${into}, $1)`, [
      JSON.stringify(row, (_, value) => (isBytes(value) ? hexOf(value) : value)),
    ]);
  };
  return async () => {
    await insert('idempotency_records', records[0]);
    await insert(table, objects[0]);
  };
}
const isBytes = (value: unknown): value is { data: number[] } =>
  (value as { type?: string } | null)?.type === 'Buffer';
const hexOf = ({ data }: { data: number[] }) => `\\x${Buffer.from(data).toString('hex')}`;

/** A payment whose answer was lost, and its notification, which arrives before a restore brings the charge back. */
export async function notifyBeforeCharge(service: Service, key: string) {
  const { pending, news: early } = await lostPayment(service, key);
  const restore = await restoreOlderBackup(service, 'charges', pending.id);
  await notify(service.apiUrl, early);
  return { pending, early, restore };
}

/** Resolves when the event with this id is in this state. */
export const untilState = (service: Service, eventId: string, state: string) =>
  until(async () => (await statesOf(service, eventId))[0] === state);

export const untilRemoved = (service: Service, eventId: string) =>
  until(async () => (await statesOf(service, eventId)).length === 0);

/** Resolves when the worker has read all waiting notifications: the oldest one of all is gone. */
export async function oneRound(service: Service): Promise<void> {
  const missing = await chargeThatNeverAppears(service);
  const old = event('payment_intent.succeeded', intent(missing));
  await notify(service.apiUrl, old);
  await receivedAgo(service, old.id, '31 days');
  await untilRemoved(service, old.id);
}

export async function receivedAgo({ db }: Service, eventId: string, age: string): Promise<void> {
  await db.query(`UPDATE processor_events SET received_at = now() - $2::interval WHERE id = $1`, [
    eventId,
    age,
  ]);
}

export async function chargeThatNeverAppears(service: Service): Promise<PendingCharge> {
  const account = await demoAccount(service);
  return { id: deriveId('ch', account, 'POST /charges', 'never'), account };
}

export async function demoAccount({ db }: Service): Promise<string> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT account_id AS id FROM api_keys WHERE key_hash = sha256('sk_test_acme')`,
  );
  return rows[0]!.id;
}
