import { buy, type Purchase, type Shop } from '../../effects/effects.support.js';

/** The job of a purchase's receipt, for adding it again. */
export async function payloadOf(
  { db }: Shop,
  { charge: cause }: Purchase,
): Promise<{ account: string; event: string }> {
  const { rows } = await db.query<{ account: string; event: string }>(
    `SELECT account_id AS account, id AS event FROM events WHERE type = 'charge.succeeded' AND cause = $1`,
    [cause],
  );
  return rows[0]!;
}

export async function rowsOf({ db }: Shop, { email }: Purchase) {
  const { rows } = await db.query<{ epoch: number; sent: boolean }>(
    `SELECT epoch, sent_at IS NOT NULL AS sent FROM sent_emails WHERE recipient = $1`,
    [email],
  );
  return rows;
}

/** How often the mail server has accepted the receipt. */
export const copies = ({ mail }: Shop, { email }: Purchase) => mail.of(email).length;
/** How many of them a reader sees. */
export const messages = ({ mail }: Shop, { email }: Purchase) =>
  new Set(mail.of(email).map(({ messageId }) => messageId)).size;

/** A purchase whose receipt a worker has sent without getting the confirmation. */
export async function handOver(shop: Shop): Promise<{ purchase: Purchase; answer: () => void }> {
  const answer = shop.mail.hold();
  const purchase = await buy(shop);
  await shop.mail.caught(purchase.email);
  return { purchase, answer };
}
