import { randomUUID } from 'node:crypto';
import { IN_PROGRESS, replyTo, REUSED, type Design } from './design.js';

/** An error frees the key, so that the client can try again. A timeout also counts as an error. */
export const deleteOnError: Design = {
  title: 'The key deleted on any error',
  idea: 'A unique constraint claims the key. If the charge fails, delete the key: the client may retry.',
  incident:
    'The processor is slow for an hour: each timeout frees a key whose payment went through.',
  tables: [
    `CREATE TABLE claims (account text, key text, amount bigint, status integer, body text,
       PRIMARY KEY (account, key))`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, amount } = purchase;
    const claimed = await db.query(
      `INSERT INTO claims VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key`,
      [account, key, amount],
    );
    if (claimed.length === 0) {
      const [found] = await db.query<{ amount: string; status: number | null; body: string }>(
        `SELECT amount, status, body FROM claims WHERE account = $1 AND key = $2`,
        [account, key],
      );
      if (found && Number(found.amount) !== amount) return REUSED;
      return found?.status ? { status: found.status, body: found.body } : IN_PROGRESS;
    }
    try {
      const reply = replyTo(await pay(randomUUID(), purchase), purchase);
      await db.query(`UPDATE claims SET status = $3, body = $4 WHERE account = $1 AND key = $2`, [
        account,
        key,
        reply.status,
        reply.body,
      ]);
      return reply;
    } catch (error) {
      await db.query(`DELETE FROM claims WHERE account = $1 AND key = $2`, [account, key]);
      throw error;
    }
  },
};
