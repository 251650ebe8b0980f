import { signal, type ProbePoint } from '../support/internals.js';
import { napAt, type ApiProcess, type Nap } from '../support/api-process.js';
import type { Beat } from '../support/database-proxy.js';
import { holdStatements, type HowToHold } from '../support/held-statement.js';
import { charge, type Reply } from '../support/raw-client.js';
import { chargeOf, type Way } from '../support/ways.js';

export interface Case {
  point: ProbePoint;
  way: Way;
  how: Nap;
}

/** A charge that waits at its point in an API process that is stopped (SIGSTOP). */
export interface Held {
  key: string;
  body: Record<string, unknown>;
  reply: Promise<Reply>;
}

export const keyOf = (name: string, { point, way, how }: Case) => [name, point, way, how].join(' ');
export const within = (name: string, beat: Beat) => `${name} within ${beat}`;

/** Starts a charge for each case. When each has reached its point, the API stops. */
export async function stopAt(api: ApiProcess, name: string, cases: Case[]): Promise<Held[]> {
  const held = await Promise.all(
    cases.map(async (of) => {
      const key = keyOf(name, of);
      const body = await chargeOf(of.way, api.url, key);
      const reply = charge(api.url, key, body, napAt(of.point, cases.length, of.how));
      return { key, body, reply };
    }),
  );
  await api.asleep();
  return held;
}

/** Starts two charges and holds one inside the single statement of each beat. Then it stops the API. */
export async function stopWithin(
  api: ApiProcess,
  name: string,
  where: Pick<HowToHold, 'databaseUrl' | 'gate'>,
): Promise<Held[]> {
  const hold = async (beat: Beat): Promise<Held> => {
    const key = within(name, beat);
    const { replies } = await holdStatements({ ...where, apiUrl: api.url, beat, keys: [key] });
    return { key, body: {}, reply: replies[0]! };
  };
  const held = [await hold('settle'), await hold('reserve')]; // settle first: it closes and opens the gate
  // Starting PostgreSQL on a busy machine takes longer than a request waits for the database.
  signal(api.pid, 'SIGSTOP');
  await api.asleep();
  return held;
}
