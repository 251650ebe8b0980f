import { IN_PROGRESS, replyTo, REUSED, type Design, type Reply } from './design.js';

/** "The same key gets the same answer" holds, and that is the problem. */
export const anyErrorStored: Design = {
  title: 'Any error stored and replayed',
  idea: 'Run once for each key, store whatever came out, replay it. A lock makes duplicates wait.',
  incident: 'A timeout is stored as a 500. The customer has paid, and each retry says “failed”.',
  tables: [
    `CREATE TABLE answers (account text, key text, amount bigint, status integer, body text,
       PRIMARY KEY (account, key))`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, amount } = purchase;
    const claimed = await db.query(
      `INSERT INTO answers VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key`,
      [account, key, amount],
    );
    if (claimed.length === 0) {
      const [found] = await db.query<{ amount: string; status: number | null; body: string }>(
        `SELECT amount, status, body FROM answers WHERE account = $1 AND key = $2`,
        [account, key],
      );
      if (Number(found?.amount) !== amount) return REUSED;
      return found?.status ? { status: found.status, body: found.body } : IN_PROGRESS;
    }
    const reply: Reply = await pay(`${account}:${key}`, purchase).then(
      (payment) => replyTo(payment, purchase),
      () => ({ status: 500, body: JSON.stringify({ code: 'payment_failed' }) }),
    );
    await db.query(`UPDATE answers SET status = $3, body = $4 WHERE account = $1 AND key = $2`, [
      account,
      key,
      reply.status,
      reply.body,
    ]);
    return reply;
  },
};
