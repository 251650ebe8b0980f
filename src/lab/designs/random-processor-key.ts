import { randomUUID } from 'node:crypto';
import { IN_PROGRESS, replyTo, REUSED, type Design } from './design.js';

/** Record and lease are correct, but each call to the processor has a new key. */
export const randomProcessorKey: Design = {
  title: 'A processor key from a random id',
  idea: 'A unique record, a lease, a takeover. The processor’s SDK makes its idempotency key by itself.',
  incident:
    'Recovery works as designed, finishes every crashed charge, and charges each a second time.',
  tables: [
    `CREATE TABLE claims (account text, key text, amount bigint, leased_until timestamptz, epoch integer,
       status integer, body text, PRIMARY KEY (account, key))`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, amount } = purchase;
    const [claim] = await db.query<{ epoch: number }>(
      `INSERT INTO claims VALUES ($1, $2, $3, now() + interval '7 s', 1)
       ON CONFLICT (account, key) DO UPDATE SET leased_until = excluded.leased_until, epoch = claims.epoch + 1
         WHERE claims.status IS NULL AND claims.leased_until < now() AND claims.amount = excluded.amount
       RETURNING epoch`,
      [account, key, amount],
    );
    if (claim) {
      const reply = replyTo(await pay(randomUUID(), purchase), purchase);
      const settled = await db.query(
        `UPDATE claims SET status = $4, body = $5
         WHERE account = $1 AND key = $2 AND epoch = $3 AND status IS NULL RETURNING key`,
        [account, key, claim.epoch, reply.status, reply.body],
      );
      return settled.length > 0 ? reply : IN_PROGRESS;
    }
    const [found] = await db.query<{ amount: string; status: number | null; body: string }>(
      `SELECT amount, status, body FROM claims WHERE account = $1 AND key = $2`,
      [account, key],
    );
    if (Number(found?.amount) !== amount) return REUSED;
    return found?.status ? { status: found.status, body: found.body } : IN_PROGRESS;
  },
};
