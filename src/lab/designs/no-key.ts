import { randomUUID } from 'node:crypto';
import { replyTo, type Design } from './design.js';

/** Every request counts as a new purchase. */
export const noKey: Design = {
  title: 'No key at all',
  idea: 'Call the processor, then insert the charge. Retries are the client’s business.',
  incident: 'A client library retries after a timeout, and a batch of customers is charged twice.',
  tables: [`CREATE TABLE charges (id text PRIMARY KEY, account text, amount bigint)`],

  async charge(purchase, { db, pay }) {
    const payment = await pay(randomUUID(), purchase);
    await db.query(`INSERT INTO charges VALUES ($1, $2, $3)`, [
      payment.id,
      purchase.account,
      purchase.amount,
    ]);
    return replyTo(payment, purchase);
  },
};
