import { randomUUID } from 'node:crypto';
import { IN_PROGRESS, replyTo, REUSED, type Design } from './design.js';

/** A lock with a time limit. A holder that was suspended still believes that it holds the lock. */
export const leaseWithoutEpoch: Design = {
  title: 'A lease without an epoch',
  idea: 'A distributed lock that expires, so that nothing sticks. Under the lock only one can charge.',
  incident: 'A pause of the garbage collector outlasts the lock: two holders, two payments.',
  tables: [
    `CREATE TABLE locks (name text PRIMARY KEY, until timestamptz)`,
    `CREATE TABLE answers (name text PRIMARY KEY, amount bigint, status integer, body text)`,
  ],

  async charge(purchase, { db, pay }) {
    const name = `${purchase.account}:${purchase.key}`;
    const locked = await db.query(
      `INSERT INTO locks VALUES ($1, now() + interval '7 s')
       ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE locks.until < now() RETURNING name`,
      [name],
    );
    if (locked.length === 0) return IN_PROGRESS;
    const [found] = await db.query<{ amount: string; status: number; body: string }>(
      `SELECT amount, status, body FROM answers WHERE name = $1`,
      [name],
    );
    try {
      if (found && Number(found.amount) !== purchase.amount) return REUSED;
      if (found) return { status: found.status, body: found.body };
      // Suspended here for longer than the lock lasts: another holder charges, and then this one does, too.
      const reply = replyTo(await pay(randomUUID(), purchase), purchase);
      await db.query(`INSERT INTO answers VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, [
        name,
        purchase.amount,
        reply.status,
        reply.body,
      ]);
      return reply;
    } finally {
      await db.query(`DELETE FROM locks WHERE name = $1`, [name]); // perhaps another holder's lock
    }
  },
};
