import { randomUUID } from 'node:crypto';
import { replyTo, REUSED, type Design } from './design.js';

/** A hook that runs after the response, as in many idempotency middlewares. */
export const recordAfterAnswer: Design = {
  title: 'The record after the answer',
  idea: 'A middleware: look the key up before the handler, store its response when it has been sent.',
  incident:
    'The process is recycled right after the response: the retry finds no record, and charges.',
  tables: [
    `CREATE TABLE answers (account text, key text, amount bigint, status integer, body text)`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, amount } = purchase;
    const [found] = await db.query<{ amount: string; status: number; body: string }>(
      `SELECT amount, status, body FROM answers WHERE account = $1 AND key = $2`,
      [account, key],
    );
    if (found && Number(found.amount) !== amount) return REUSED;
    if (found) return { status: found.status, body: found.body };
    const reply = replyTo(await pay(randomUUID(), purchase), purchase);
    return {
      ...reply,
      afterwards: async () => {
        // The client may have sent its retry by now.
        await db.query(`INSERT INTO answers VALUES ($1, $2, $3, $4, $5)`, [
          account,
          key,
          amount,
          reply.status,
          reply.body,
        ]);
      },
    };
  },
};
