import { randomUUID } from 'node:crypto';
import { replyTo, REUSED, type Design } from './design.js';

/** Prefers a lost payment to a second one, and reports neither. */
export const doneBeforeCall: Design = {
  title: 'Marked done before the call',
  idea: 'At most once: write “succeeded” first, then charge. A retry finds it done.',
  incident: 'A crash between the two: the goods are shipped, and no payment was made.',
  tables: [
    `CREATE TABLE answers (account text, key text, amount bigint, status integer, body text,
       PRIMARY KEY (account, key))`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, amount } = purchase;
    const expected = replyTo({ id: `pending-${key}` }, purchase);
    const marked = await db.query(
      `INSERT INTO answers VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING key`,
      [account, key, amount, expected.status, expected.body],
    );
    if (marked.length === 0) {
      const [found] = await db.query<{ amount: string; status: number; body: string }>(
        `SELECT amount, status, body FROM answers WHERE account = $1 AND key = $2`,
        [account, key],
      );
      if (!found || Number(found.amount) !== amount) return REUSED;
      return { status: found.status, body: found.body };
    }
    // A crash here: every retry gets the answer “succeeded”.
    const reply = replyTo(await pay(randomUUID(), purchase), purchase);
    await db.query(`UPDATE answers SET status = $3, body = $4 WHERE account = $1 AND key = $2`, [
      account,
      key,
      reply.status,
      reply.body,
    ]);
    return reply;
  },
};
