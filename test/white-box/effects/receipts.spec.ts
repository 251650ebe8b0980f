import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
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
  letLocksRunOut,
  skipPauses,
  untilWaiting,
  startShop,
  type Purchase,
  type Shop,
} from '../../effects/effects.support.js';

/** The receipt of a purchase is one message, whatever happens to the workers that send it. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop();
  worker = await shop.startWorkerProcess();
});
afterEach(() => drained(shop.db));
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

/** The job of a purchase's receipt, for adding it again. */
async function payloadOf({ charge: cause }: Purchase): Promise<{ account: string; event: string }> {
  const { rows } = await shop.db.query<{ account: string; event: string }>(
    `SELECT account_id AS account, id AS event FROM events WHERE type = 'charge.succeeded' AND cause = $1`,
    [cause],
  );
  return rows[0]!;
}

async function rowsOf({ email }: Purchase) {
  const { rows } = await shop.db.query<{ epoch: number; sent: boolean }>(
    `SELECT epoch, sent_at IS NOT NULL AS sent FROM sent_emails WHERE recipient = $1`,
    [email],
  );
  return rows;
}

const copies = ({ email }: Purchase) => shop.mail.of(email).length;
const messages = ({ email }: Purchase) =>
  new Set(shop.mail.of(email).map(({ messageId }) => messageId)).size;
/** A purchase whose receipt a worker has sent without getting the confirmation. */
async function handOver(): Promise<{ purchase: Purchase; answer: () => void }> {
  const answer = shop.mail.hold();
  const purchase = await buy(shop);
  await shop.mail.caught(purchase.email);
  return { purchase, answer };
}

describe('the receipt of a charge', () => {
  test('goes to the e-mail of its order, with a Message-ID derived from the event', async () => {
    const purchase = await buy(shop);
    await shop.mail.caught(purchase.email);
    const { event } = await payloadOf(purchase);
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
    await addJob(shop.db, 'send-receipt', await payloadOf(purchase));
    await drained(shop.db);
    expect(copies(purchase)).toBe(1);
  });

  test('run twice sends twice without its row (control)', async () => {
    const purchase = await buy(shop);
    await drained(shop.db);
    await shop.db.query('DELETE FROM sent_emails WHERE recipient = $1', [purchase.email]);
    await addJob(shop.db, 'send-receipt', await payloadOf(purchase));
    await drained(shop.db);
    expect(copies(purchase)).toBe(2);
  });

  test('enqueued twice, by an event that was fanned out twice, sends once', async () => {
    const purchase = await buy(shop);
    await drained(shop.db);
    await addJob(shop.db, 'fan-out-event', await payloadOf(purchase));
    await drained(shop.db);
    expect(copies(purchase)).toBe(1);
  });
});

describe('two workers at once', () => {
  let second: WorkerProcess;
  beforeAll(async () => {
    second = await shop.startWorkerProcess();
  });
  afterAll(() => second.kill());

  test('send once: the second finds it in flight and is retried', async () => {
    const { purchase, answer } = await handOver();
    await addJob(shop.db, 'send-receipt', await payloadOf(purchase));
    await until(async () =>
      (await jobs(shop.db)).some((job) =>
        /another process holds the lease/.test(job.last_error ?? ''),
      ),
    );
    answer();
    await until(async () => (await rowsOf(purchase))[0]?.sent === true);
    await skipPauses(shop.db);
    await drained(shop.db);
    expect(copies(purchase)).toBe(1);
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

describe('a worker that is killed', () => {
  test('between the mail server’s acceptance and the record: sends the same message again', async () => {
    const { purchase, answer } = await handOver();
    expect(await rowsOf(purchase)).toEqual([{ epoch: 1, sent: false }]);
    await worker.kill();
    answer();
    await letLocksRunOut(shop.db);
    worker = await shop.startWorkerProcess();
    await drained(shop.db);
    // The choice: twice on the wire, once for the reader. At-most-once would lose a message like this one.
    expect(copies(purchase)).toBe(2);
    expect(messages(purchase)).toBe(1);
    expect(await rowsOf(purchase)).toEqual([{ epoch: 2, sent: true }]);
  });

  test('with the lease, before it sends: one message', async () => {
    const speak = shop.mail.mute();
    const purchase = await buy(shop);
    await until(async () => (await rowsOf(purchase)).length === 1);
    await worker.kill();
    speak();
    await letLocksRunOut(shop.db);
    worker = await shop.startWorkerProcess();
    await drained(shop.db);
    expect(copies(purchase)).toBe(1);
  });
});

describe('a worker that sleeps, loses its job and wakes up', () => {
  let second: WorkerProcess;
  beforeEach(async () => {
    second = await shop.startSleepingWorker();
  });
  afterEach(() => second.kill());

  /** Another worker takes over the sleeper's job, before the sleeper gives its message up, 10 s after it was sent. */
  async function takeOver(isDone: () => Promise<boolean>): Promise<void> {
    await letLocksRunOut(shop.db);
    second.wake();
    await until(async () => {
      await skipPauses(shop.db); // otherwise the job waits for the next poll
      return isDone();
    });
  }

  /** The same, and finishes it. */
  const overtake = (purchase: Purchase) =>
    takeOver(async () => (await rowsOf(purchase))[0]?.sent === true);

  test('with the lease, sends nothing', async () => {
    // Its claim waits for another transaction, and succeeds while it sleeps.
    const blocker = new pg.Client({ connectionString: shop.databaseUrl });
    await blocker.connect();
    await worker.sleep(); // so that the event exists before its job runs
    const purchase = await buy(shop);
    const { account, event } = await payloadOf(purchase);
    await blocker.query('BEGIN');
    await blocker.query(
      `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch) VALUES ($1, $2, $3, 'nobody', 1)`,
      [account, `<receipt.${event}@charge-once.invalid>`, event],
    );
    worker.wake();
    await untilWaiting(shop.db, 'INSERT INTO sent_emails');
    await worker.sleep();
    await blocker.end(); // rolls back
    await until(async () => (await rowsOf(purchase)).length === 1);
    await overtake(purchase);
    expect(copies(purchase)).toBe(1);
    worker.wake();
    await until(async () => /\(send-receipt\), attempt 1/.test(worker.output())); // the claim itself is refused
    expect(copies(purchase)).toBe(1);
  });

  test('after the mail server accepted the message: one message, recorded once', async () => {
    const { purchase, answer } = await handOver();
    await worker.sleep();
    answer();
    await overtake(purchase);
    const recorded = await rowsOf(purchase);
    worker.wake();
    await drained(shop.db);
    expect(await rowsOf(purchase)).toEqual(recorded);
    expect(messages(purchase)).toBe(1);
    expect(copies(purchase)).toBe(2);
  });

  test('records what it has sent although another has the lease, because no other will', async () => {
    const { purchase, answer } = await handOver();
    await worker.sleep();
    await takeOver(async () => copies(purchase) === 2);
    await second.kill(); // the other worker is gone, and the job ends when the sleeper returns
    worker.wake();
    answer();
    await until(async () => (await rowsOf(purchase))[0]?.sent === true);
    await drained(shop.db);
    expect(copies(purchase)).toBe(2);
    expect(messages(purchase)).toBe(1);
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
