import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Mailer } from '../../../src/effects/mailer.js';
import { expectCleanBooks } from '../../support/books.js';
import { charge } from '../../support/raw-client.js';
import { until } from '../../support/until.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import {
  addJob,
  buy,
  drained,
  jobs,
  skipPauses,
  startShop,
  type Shop,
} from '../../effects/effects.support.js';
import { copies, handOver, payloadOf, rowsOf } from './receipts.support.js';

/** The receipt of a purchase is one message, however often its job runs. */
let shop: Shop;
beforeAll(async () => {
  shop = await startShop();
  await shop.startWorkerProcess();
});
afterEach(() => drained(shop.db));
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

describe('the receipt of a charge', () => {
  test('goes to the e-mail of its order, with a Message-ID derived from the event', async () => {
    const purchase = await buy(shop);
    await shop.mail.caught(purchase.email);
    const { event } = await payloadOf(shop, purchase);
    const [mail] = shop.mail.of(purchase.email);
    expect(mail?.messageId).toBe(`<receipt.${event}@charge-once.invalid>`);
    expect(mail?.raw).toMatch(/^From: receipts@charge-once\.invalid$/m);
    expect(mail?.raw).toContain(`Subject: Receipt for ${purchase.charge}`);
    expect(mail?.raw).toContain('You paid 1200 eur');
  });

  test('goes to the receipt_email of the charge, if it has one', async () => {
    const { body } = await charge(shop.apiUrl, 'with e-mail', { receipt_email: 'eve@shop.test' });
    await shop.mail.caught('eve@shop.test');
    expect(shop.mail.of('eve@shop.test')[0]?.raw).toContain(body.id);
  });

  test('is not sent if there is no e-mail or no money was taken', async () => {
    const before = shop.mail.mails.length;
    await buy(shop, { email: null });
    const declined = {
      payment_method: 'pm_card_visa_chargeDeclined',
      receipt_email: 'x@shop.test',
    };
    expect((await charge(shop.apiUrl, 'declined', declined)).status).toBe(402);
    await drained(shop.db);
    expect(shop.mail.mails).toHaveLength(before);
  });

  test('that the mail server refuses is retried, and the job shows the refusal', async () => {
    shop.mail.refuse('late@shop.test');
    await charge(shop.apiUrl, 'refused', { receipt_email: 'late@shop.test' });
    await until(async () => /550/.test((await jobs(shop.db, 'send-receipt'))[0]?.last_error ?? ''));
    shop.mail.refuse(undefined);
    await skipPauses(shop.db);
    await shop.mail.caught('late@shop.test'); // its lease was ended, so there is none to wait for
    await drained(shop.db);
    expect(shop.mail.of('late@shop.test')).toHaveLength(1);
  });
});

describe('the same job', () => {
  test('run twice sends once', async () => {
    const purchase = await buy(shop);
    await drained(shop.db);
    await addJob(shop.db, 'send-receipt', await payloadOf(shop, purchase));
    await drained(shop.db);
    expect(copies(shop, purchase)).toBe(1);
  });

  test('run twice sends twice without its row (control)', async () => {
    const purchase = await buy(shop);
    await drained(shop.db);
    await shop.db.query('DELETE FROM sent_emails WHERE recipient = $1', [purchase.email]);
    await addJob(shop.db, 'send-receipt', await payloadOf(shop, purchase));
    await drained(shop.db);
    expect(copies(shop, purchase)).toBe(2);
  });

  test('enqueued twice, by an event that was fanned out twice, sends once', async () => {
    const purchase = await buy(shop);
    await drained(shop.db);
    await addJob(shop.db, 'fan-out-event', await payloadOf(shop, purchase));
    await drained(shop.db);
    expect(copies(shop, purchase)).toBe(1);
  });
});

describe('two workers in parallel', () => {
  let second: WorkerProcess;
  beforeAll(async () => {
    second = await shop.startWorkerProcess();
  });
  afterAll(() => second.kill());

  test('send once: the second finds it in flight and is retried', async () => {
    const { purchase, answer } = await handOver(shop);
    await addJob(shop.db, 'send-receipt', await payloadOf(shop, purchase));
    await until(async () =>
      (await jobs(shop.db)).some((job) =>
        /another process holds the lease/.test(job.last_error ?? ''),
      ),
    );
    answer();
    await until(async () => (await rowsOf(shop, purchase))[0]?.sent === true);
    await skipPauses(shop.db);
    await drained(shop.db);
    expect(copies(shop, purchase)).toBe(1);
  });

  test('send twice if they only check before and write after (control)', async () => {
    await shop.db.query('CREATE TABLE naive_emails (recipient text)');
    const mailer = new Mailer({ from: 'naive@shop.test', smtpUrl: shop.mail.url, directory: '' });
    const naive = async (to: string) => {
      const { rowCount } = await shop.db.query('SELECT 1 FROM naive_emails WHERE recipient = $1', [
        to,
      ]);
      if (rowCount !== 0) return;
      const mail = { messageId: '<naive@shop.test>', to, subject: 'Receipt', text: 'You paid' };
      await mailer.send(mail, new AbortController().signal);
      await shop.db.query('INSERT INTO naive_emails (recipient) VALUES ($1)', [to]);
    };
    const answer = shop.mail.hold();
    const both = Promise.all([naive('naive@shop.test'), naive('naive@shop.test')]);
    await shop.mail.caught('naive@shop.test', 2);
    answer();
    await both;
    await naive('naive@shop.test');
    expect(shop.mail.of('naive@shop.test')).toHaveLength(2);
  });
});

test('an abandoned dialogue delivers nothing', async () => {
  const mailer = new Mailer({ from: 'shop@shop.test', smtpUrl: shop.mail.url, directory: '' });
  await until(async () => shop.mail.senders() === 0);
  const greet = shop.mail.mute();
  const end = new AbortController();
  const mail = { messageId: '<cut@shop.test>', to: 'cut@shop.test', subject: 'a', text: 'b' };
  const sent = expect(mailer.send(mail, end.signal)).rejects.toThrow('enough');
  await until(async () => shop.mail.senders() > 0);
  end.abort(new Error('enough'));
  greet();
  await sent;
  await until(async () => shop.mail.senders() === 0);
  expect(shop.mail.of('cut@shop.test')).toEqual([]);
});
