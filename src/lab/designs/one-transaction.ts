import { replyTo, REUSED, type Design } from './design.js';

/** Correct as long as the processor is fast: every charge holds a connection while it waits. */
export const oneTransaction: Design = {
  title: 'One transaction around the call',
  idea: 'BEGIN, claim the key, charge, store the answer, COMMIT. All or nothing.',
  incident:
    'The processor takes 3 s instead of 0.3: the pool is empty, and the whole shop is down.',
  tables: [
    `CREATE TABLE answers (account text, key text, amount bigint, status integer, body text,
       PRIMARY KEY (account, key))`,
  ],

  charge: (purchase, { db, pay }) =>
    db.transaction(async (tx) => {
      const { account, key, amount } = purchase;
      // A duplicate waits here, and holds a connection, until the first request commits.
      const claimed = await tx.query(
        `INSERT INTO answers VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key`,
        [account, key, amount],
      );
      if (claimed.length === 0) {
        const [found] = await tx.query<{ amount: string; status: number; body: string }>(
          `SELECT amount, status, body FROM answers WHERE account = $1 AND key = $2`,
          [account, key],
        );
        if (!found || Number(found.amount) !== amount) return REUSED;
        return { status: found.status, body: found.body };
      }
      const reply = replyTo(await pay(`${account}:${key}`, purchase), purchase);
      await tx.query(`UPDATE answers SET status = $3, body = $4 WHERE account = $1 AND key = $2`, [
        account,
        key,
        reply.status,
        reply.body,
      ]);
      return reply;
    }),
};
