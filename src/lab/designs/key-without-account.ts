import { IN_PROGRESS, replyTo, REUSED, type Design } from './design.js';

/** Correct in every other way: a lease that ends, a takeover, one processor key for all attempts. */
export const keyWithoutAccount: Design = {
  title: 'A key without its account',
  idea: 'Keys are UUIDs, so they are unique anyway: PRIMARY KEY (key).',
  incident:
    'Two tenants use “invoice-1001”. The second tenant reads the first one’s payment, and is never paid.',
  tables: [
    `CREATE TABLE claims (key text PRIMARY KEY, amount bigint, leased_until timestamptz, status integer, body text)`,
  ],

  async charge(purchase, { db, pay }) {
    const { key, amount } = purchase;
    const claimed = await db.query(
      `INSERT INTO claims VALUES ($1, $2, now() + interval '7 s')
       ON CONFLICT (key) DO UPDATE SET leased_until = excluded.leased_until
         WHERE claims.status IS NULL AND claims.leased_until < now() AND claims.amount = excluded.amount
       RETURNING key`,
      [key, amount],
    );
    if (claimed.length === 0) {
      const [found] = await db.query<{ amount: string; status: number | null; body: string }>(
        `SELECT amount, status, body FROM claims WHERE key = $1`,
        [key],
      );
      if (Number(found?.amount) !== amount) return REUSED;
      return found?.status ? { status: found.status, body: found.body } : IN_PROGRESS;
    }
    const reply = replyTo(await pay(key, purchase), purchase);
    await db.query(`UPDATE claims SET status = $2, body = $3 WHERE key = $1`, [
      key,
      reply.status,
      reply.body,
    ]);
    return reply;
  },
};
