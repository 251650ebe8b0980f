import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { AppModule } from '../../../../src/app.module.js';
import { loadConfig } from '../../../../src/config.js';
import { createHttpApp } from '../../../../src/http/http-process.js';
import { Compensation } from '../../../../src/refunds/compensation.js';
import { charge, getCharge, send } from '../../../support/raw-client.js';
import type { Service } from '../../../support/service.js';
import {
  accountOf,
  event,
  parked,
  parkedInMetrics,
  startListening,
  statesOf,
  notify,
  eventTypesOf,
} from '../../../webhooks/incoming/incoming.support.js';

/** A refund that we owe: a job makes it with a key of ours, and the processor may report it before the job does. */
let service: Service;
let app: Awaited<ReturnType<typeof createHttpApp>>;
let compensation: Compensation;
beforeAll(async () => {
  service = await startListening();
  app = await createHttpApp(AppModule.forRoot(loadConfig(service.env)));
  app.useLogger(false);
  await app.init();
  compensation = app.get(Compensation, { strict: false });
});
afterAll(async () => {
  await app.close();
  await service.stop();
});

/** The processor made the refund, but its response was lost. The returned `again` runs the job again. */
async function leaveOwed(cause: string) {
  const { apiUrl, sandboxUrl, db, gate } = service;
  gate.be('open');
  const { body } = await charge(apiUrl, `paid for ${cause}`);
  const account = await accountOf(service, body.id);
  const again = () => compensation.refundOnce(account, body.id, cause);
  gate.be('losing');
  await expect(again()).rejects.toThrow();
  gate.be('refusing'); // from now on, no request reaches the processor
  const { rows } = await db.query<{ id: string }>('SELECT id FROM refunds WHERE cause = $1', [
    cause,
  ]);
  const page = await send(`${sandboxUrl}/v1/refunds?limit=100`);
  const all = page.body.data as { id: string; metadata: { refund?: string } }[];
  const object = all.find(({ metadata }) => metadata.refund === rows[0]!.id)!;
  return { id: rows[0]!.id, chargeId: body.id, object, again };
}

test('is settled by the notification, and the job finds it done', async () => {
  const { id, chargeId, object, again } = await leaveOwed('out_of_stock:1');
  await expect(again()).rejects.toThrow();
  const news = event('refund.created', object);
  await Promise.all([
    notify(service.apiUrl, news),
    notify(service.apiUrl, { ...news, id: 'evt_twin' }),
  ]);
  expect(await statesOf(service, news.id)).toEqual(['applied']);
  await again();
  expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(1200);
  expect(await eventTypesOf(service, id)).toEqual(['charge.refunded']);
});

test('that fails after it had succeeded is logged, even if it was parked before for another reason', async () => {
  const { chargeId, object } = await leaveOwed('out_of_stock:3');
  await notify(service.apiUrl, event('refund.created', object));
  await notify(service.apiUrl, event('refund.updated', { ...object, amount: 1199 }));
  expect(await parked(service, chargeId)).toMatchObject([{ reason: 'amount_mismatch' }]);
  const errors: unknown[] = [];
  const drop = () => undefined;
  app.useLogger({ log: drop, warn: drop, error: (line: unknown) => errors.push(line) });
  const failed = { ...object, status: 'failed', failure_reason: 'lost_or_stolen_card' };
  await notify(service.apiUrl, event('refund.failed', failed));
  await notify(service.apiUrl, event('refund.updated', failed));
  app.useLogger(false);
  expect(errors).toEqual([
    expect.stringMatching(`which we owed, failed .* ${object.id} was parked`),
  ]);
  expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(0);
});

test('that fails after another reason was resolved waits for an operator again', async () => {
  const { chargeId, object } = await leaveOwed('out_of_stock:4');
  await notify(service.apiUrl, event('refund.created', object));
  await notify(service.apiUrl, event('refund.updated', { ...object, amount: 1199 }));
  const before = await parkedInMetrics(service);
  await service.db.query(
    `UPDATE parked_payments SET resolved_at = now(), resolution = 'compared' WHERE processor_reference = $1`,
    [object.id],
  );
  expect(await parkedInMetrics(service)).toBe(before - 1);
  const errors: unknown[] = [];
  const drop = () => undefined;
  app.useLogger({ log: drop, warn: drop, error: (line: unknown) => errors.push(line) });
  const failed = { ...object, status: 'failed', failure_reason: 'lost_or_stolen_card' };
  await notify(service.apiUrl, event('refund.failed', failed));
  app.useLogger(false);
  expect(errors).toEqual([
    expect.stringMatching(`${object.id} \\(owed_refund_failed\\): open again after "compared"`),
  ]);
  expect(await parkedInMetrics(service)).toBe(before);
  expect(await parked(service, chargeId)).toEqual([
    { reference: object.id, reason: 'owed_refund_failed', amount: '1200' },
  ]);
});

test('that fails by the notification fails its job at each run, until an operator looks', async () => {
  const { id, object, again } = await leaveOwed('out_of_stock:2');
  await notify(
    service.apiUrl,
    event('refund.failed', { ...object, status: 'failed', failure_reason: 'declined' }),
  );
  await service.db.query('DELETE FROM sandbox.refunds WHERE id = $1', [object.id]); // the ledger says the same
  service.gate.be('open');
  for (let run = 0; run < 2; run++)
    await expect(again()).rejects.toThrow(`${id} failed: declined; a person must look`);
});
