import type pg from 'pg';
import type { ProbePoint } from './internals.js';
import { napAt, type ApiProcess } from './api-process.js';
import { charge, type Reply } from './raw-client.js';

/** A charge in a sleeping process, and its late answer. */
export interface Asleep {
  id: string;
  reply: Promise<Reply>;
}

/** Sends a charge to a process that stops at that point. */
export async function chargeAsleep(
  db: pg.Pool,
  process: ApiProcess,
  at: ProbePoint,
  key: string,
  body = {},
): Promise<Asleep> {
  const reply = charge(process.url, key, body, napAt(at));
  await process.asleep();
  const { rows } = await db.query<{ id: string }>(
    'SELECT resource_id AS id FROM idempotency_records WHERE key = $1',
    [key],
  );
  return { id: rows[0]!.id, reply };
}
