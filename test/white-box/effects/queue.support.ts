import { randomUUID } from 'node:crypto';
import { jobs, type QueuedJob, type Shop } from '../../effects/effects.support.js';
import { charge } from '../../support/raw-client.js';

/** A charge whose receipt a worker has sent; the worker waits for the confirmation. */
export async function receiptUnderWay(shop: Shop): Promise<{ to: string; job: string }> {
  const to = `${randomUUID()}@shop.test`;
  await charge(shop.apiUrl, randomUUID(), { receipt_email: to });
  await shop.mail.caught(to);
  const running = (await jobs(shop.db, 'send-receipt')).filter(({ locked }) => locked);
  return { to, job: running.at(-1)!.id };
}

export const findJob = async ({ db }: Shop, job: string): Promise<QueuedJob | undefined> =>
  (await jobs(db)).find(({ id }) => id === job);
