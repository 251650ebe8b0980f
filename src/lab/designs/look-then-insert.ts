import { randomUUID } from 'node:crypto';
import { replyTo, REUSED, type Design, type Reply } from './design.js';

/** Between SELECT and INSERT the same request can run a second time. */
export const lookThenInsert: Design = {
  title: 'Look up, then insert',
  idea: 'If the key has an answer, return it. Otherwise charge, and store the answer.',
  incident: 'A double click: both requests find nothing, and both charge.',
  tables: [
    `CREATE TABLE answers (account text, key text, amount bigint, status integer, body text)`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, amount } = purchase;
    const [found] = await db.query<Reply & { amount: string }>(
      `SELECT amount, status, body FROM answers WHERE account = $1 AND key = $2`,
      [account, key],
    );
    if (found && Number(found.amount) !== amount) return REUSED;
    if (found) return { status: found.status, body: found.body };
    // A second request is here at the same time.
    const reply = replyTo(await pay(randomUUID(), purchase), purchase);
    // A crash before this line: the money is taken, and no answer is stored.
    await db.query(`INSERT INTO answers VALUES ($1, $2, $3, $4, $5)`, [
      account,
      key,
      amount,
      reply.status,
      reply.body,
    ]);
    return reply;
  },
};
