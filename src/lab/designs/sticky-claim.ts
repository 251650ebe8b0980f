import { IN_PROGRESS, replyTo, REUSED, type Design } from './design.js';

/** SET NX in Redis, as a table: the first request holds the key. If the holder dies, the claim never ends. */
export const stickyClaim: Design = {
  title: 'A claim that sticks',
  idea: 'SET NX on the key. The request that sets it charges and stores the answer; all others wait.',
  incident:
    'A deploy kills a process, and its customers see “in progress” until an engineer deletes keys.',
  tables: [`CREATE TABLE claims (name text PRIMARY KEY, amount bigint, status integer, body text)`],

  async charge(purchase, { db, pay }) {
    const name = `${purchase.account}:${purchase.key}`;
    const claimed = await db.query(
      `INSERT INTO claims VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name`,
      [name, purchase.amount],
    );
    if (claimed.length === 0) {
      const [found] = await db.query<{ amount: string; status: number | null; body: string }>(
        `SELECT amount, status, body FROM claims WHERE name = $1`,
        [name],
      );
      if (Number(found?.amount) !== purchase.amount) return REUSED;
      return found?.status ? { status: found.status, body: found.body } : IN_PROGRESS;
    }
    // A crash, or an error of the processor: the claim never ends, and never gets an answer.
    const reply = replyTo(await pay(name, purchase), purchase);
    await db.query(`UPDATE claims SET status = $2, body = $3 WHERE name = $1`, [
      name,
      reply.status,
      reply.body,
    ]);
    return reply;
  },
};
