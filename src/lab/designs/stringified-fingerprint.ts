import { IN_PROGRESS, replyTo, REUSED, type Design } from './design.js';

/** Compares how the body is written, not what it means: members in another order make another fingerprint. */
export const stringifiedFingerprint: Design = {
  title: 'A fingerprint by JSON.stringify',
  idea: 'Store the body with the key, and refuse the key with another body.',
  incident:
    'A client’s new version writes members in another order: its retries are refused, its payments stay open.',
  tables: [
    `CREATE TABLE claims (account text, key text, body_sent text, leased_until timestamptz, status integer, body text,
       PRIMARY KEY (account, key))`,
  ],

  async charge(purchase, { db, pay }) {
    const { account, key, text } = purchase;
    const fingerprint = JSON.stringify(JSON.parse(text));
    const claimed = await db.query(
      `INSERT INTO claims VALUES ($1, $2, $3, now() + interval '7 s')
       ON CONFLICT (account, key) DO UPDATE SET leased_until = excluded.leased_until
         WHERE claims.status IS NULL AND claims.leased_until < now() AND claims.body_sent = excluded.body_sent
       RETURNING key`,
      [account, key, fingerprint],
    );
    if (claimed.length === 0) {
      const [found] = await db.query<{ body_sent: string; status: number | null; body: string }>(
        `SELECT body_sent, status, body FROM claims WHERE account = $1 AND key = $2`,
        [account, key],
      );
      if (found?.body_sent !== fingerprint) return REUSED;
      return found.status ? { status: found.status, body: found.body } : IN_PROGRESS;
    }
    const reply = replyTo(await pay(`${account}:${key}`, purchase), purchase);
    await db.query(`UPDATE claims SET status = $3, body = $4 WHERE account = $1 AND key = $2`, [
      account,
      key,
      reply.status,
      reply.body,
    ]);
    return reply;
  },
};
