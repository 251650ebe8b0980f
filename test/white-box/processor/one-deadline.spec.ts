import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { AppModule } from '../../../src/app.module.js';
import { loadConfig } from '../../../src/config.js';
import { createHttpApp } from '../../../src/http/http-process.js';
import { Processor } from '../../../src/processor/processor.js';
import { Compensation } from '../../../src/refunds/compensation.js';
import { newCharge, newKey, refund } from '../../refunds/refunds.support.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import { startService, type Service } from '../../support/service.js';
import { age } from '../../support/time.js';

/**
 * An attempt may call the processor several times. All its calls share one deadline, or they would outlast the lease.
 */
let service: Service;
let app: Awaited<ReturnType<typeof createHttpApp>>;
let url: string;
let calls: { name: string; notAfter: unknown }[];

beforeAll(async () => {
  service = await startService();
  app = await createHttpApp(AppModule.forRoot(loadConfig(service.env)));
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  url = await app.getUrl();
  const processor = app.get(Processor, { strict: false });
  const watch = <Args extends unknown[], Result>(name: string, call: (...args: Args) => Result) =>
    function (this: Processor, ...args: Args): Result {
      calls.push({ name, notAfter: args.at(-1) });
      return call.apply(this, args);
    };
  for (const name of ['pay', 'fence', 'look', 'refund', 'refundsOf'] as const)
    Object.assign(processor, {
      [name]: watch(name, Reflect.get(processor, name) as () => unknown),
    });
});
beforeEach(() => {
  calls = [];
});
afterAll(async () => {
  await app.close();
  await service.stop();
});

function expectOneDeadline(...names: string[]): void {
  expect(calls.map(({ name }) => name)).toEqual(names);
  expect(typeof calls[0]?.notAfter).toBe('number');
  expect(new Set(calls.map(({ notAfter }) => notAfter)).size).toBe(1);
}

/** The next calls to the processor get these fates while `run` runs. */
async function under<T>(mood: 'losing' | 'refusing', run: () => Promise<T>): Promise<T> {
  service.gate.be(mood);
  return run().finally(() => service.gate.be('open'));
}

async function giveBackAtTheDesk(id: string, amount: number): Promise<void> {
  const { processor_reference: payment } = (await getCharge(url, id)).body;
  const { status } = await send(`${service.sandboxUrl}/v1/refunds`, {
    method: 'POST',
    key: newKey('desk'),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `payment_intent=${payment}&amount=${amount}`,
  });
  expect(status).toBe(200);
}

test('a refund is looked up, sent, refused and compared within one deadline', async () => {
  const id = await newCharge(url);
  const key = newKey();
  expect((await under('refusing', () => refund(url, id, key, { amount: 500 }))).status).toBe(503);
  await service.db.query(
    `UPDATE refunds SET created_at = created_at - interval '1 day' WHERE charge_id = $1`,
    [id],
  );
  await giveBackAtTheDesk(id, 1000);
  calls = [];
  expect((await refund(url, id, key, { amount: 500 })).status).toBe(402);
  expectOneDeadline('refundsOf', 'refund', 'refundsOf');
});

test('a charge is fenced and repeated within one deadline; its lookup has one for each page', async () => {
  const key = newKey();
  const body = { payment_method: 'pm_lab_error_after_charge' };
  const open = await under('losing', () => charge(url, key, body));
  expect(open.status).toBe(504);
  await age(service.db, String(open.body.charge), 301);
  calls = [];
  expect((await charge(url, key, body)).body.status).toBe('succeeded');
  const look = calls.pop();
  expect(look).toEqual({ name: 'look', notAfter: expect.any(Function) });
  expectOneDeadline('fence', 'pay');
});

test('a refund that we owe is sent, refused, compared and sent again within one deadline', async () => {
  const id = await newCharge(url);
  await giveBackAtTheDesk(id, 500);
  const { rows } = await service.db.query('SELECT account_id FROM charges WHERE id = $1', [id]);
  calls = [];
  await app
    .get(Compensation, { strict: false })
    .refundOnce(rows[0].account_id, id, `out_of_stock:${id}`);
  expectOneDeadline('refund', 'refundsOf', 'refund');
  expect((await getCharge(url, id)).body.amount_refunded).toBe(1200);
});
