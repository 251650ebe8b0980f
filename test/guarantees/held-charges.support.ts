import { deriveId, type ProbePoint } from '../support/internals.js';
import { napTogether, type ApiProcess } from '../support/api-process.js';
import { openPool } from '../support/database.js';
import type { Beat } from '../support/database-proxy.js';
import type { Gate } from '../support/gate.js';
import { holdStatements } from '../support/held-statement.js';
import { charge, type Reply } from '../support/raw-client.js';
import { chargeOf, type Way } from '../support/ways.js';

export interface Case {
  point: ProbePoint;
  way: Way;
  how: 'unnoticed' | 'noticing';
}

/** Charges that have stopped, each at its own place, in the order of their keys. */
export interface Held {
  replies: Promise<Reply>[];
  keys: string[];
  bodies: Record<string, unknown>[];
}

export const keyOf = (name: string, { point, way, how }: Case) => [name, point, way, how].join(' ');
export const within = (name: string, beat: Beat) => `${name} within ${beat}`;

/** Starts a charge for each case. When each has reached its point, the API stops. */
export async function stopAt(api: ApiProcess, name: string, cases: Case[]): Promise<Held> {
  const keys = cases.map((of) => keyOf(name, of));
  const bodies = await Promise.all(cases.map(({ way }, i) => chargeOf(way, api.url, keys[i]!)));
  const replies = cases.map(({ point, how }, i) =>
    charge(api.url, keys[i]!, bodies[i], napTogether(point, cases.length, how)),
  );
  await api.asleep();
  return { replies, keys, bodies };
}

/** Starts two charges and holds one inside the single statement of each beat. */
export async function stopWithin(
  where: { apiUrl: string; databaseUrl: string; gate: Gate },
  name: string,
): Promise<Held> {
  const db = openPool(where.databaseUrl, 1);
  const account = await db.query<{ id: string }>(`SELECT id FROM accounts WHERE name = 'acme'`);
  await db.end();
  const idOf = (key: string) => deriveId('ch', account.rows[0]!.id, 'POST /charges', key);
  const hold = (beat: Beat) => holdStatements({ ...where, idOf, beat, keys: [within(name, beat)] });
  const settle = await hold('settle'); // first, because it closes and opens the gate
  const reserve = await hold('reserve');
  const keys = [within(name, 'reserve'), within(name, 'settle')];
  return { replies: [...reserve.replies, ...settle.replies], keys, bodies: [{}, {}] };
}
