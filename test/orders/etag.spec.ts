import type { OutgoingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { etagOf } from '../support/internals.js';
import type { Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';
import {
  cancelOrder,
  getOrder,
  getProduct,
  newId,
  orderOf,
  pay,
  putOrder,
  putProduct,
  tagged,
} from './orders.support.js';

let service: Service;
let api: string;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
});
afterAll(() => service.stop());

describe('If-None-Match on GET', () => {
  test.each(['*', '"now"', 'W/"now"', '"old", W/"now"'])('%s: 304 without a body', async (tags) => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const reply = await getOrder(api, id, { 'if-none-match': tagged(tags, made) });
    expect([reply.status, reply.text]).toEqual([304, '']);
    expect(reply.headers.etag).toBe(made.headers.etag);
  });

  test.each(['"old"', 'now', '"*"', '"now', 'x"now"', '"NOW"', '"v1"', '"1"'])(
    '%s: 200',
    async (tags) => {
      const id = newId();
      const made = await putOrder(api, id, orderOf(100));
      const reply = await getOrder(api, id, { 'if-none-match': tagged(tags, made) });
      expect([reply.status, reply.text]).toEqual([200, made.text]);
    },
  );

  test('on an id that is not there is 404', async () => {
    expect((await getOrder(api, newId(), { 'if-none-match': '*' })).status).toBe(404);
  });
});

describe('the ETag', () => {
  /** Fails unless ETag and version have changed if and only if the rest of the object has. */
  async function watch(read: (headers?: OutgoingHttpHeaders) => Promise<Reply>) {
    const shown = ({ body: { version: _, ...rest } }: Reply) => JSON.stringify(rest);
    let before = await read();
    const seen = new Set([before.headers.etag]);
    return async (moves: boolean, shows: Record<string, unknown> = {}) => {
      const after = await read();
      expect(after.body).toMatchObject(shows);
      expect(after.headers.etag).toBe(etagOf(after.body));
      expect(shown(after) !== shown(before)).toBe(moves);
      expect(after.body.version !== before.body.version).toBe(moves);
      expect(!seen.has(after.headers.etag)).toBe(moves); // never an earlier one again
      const conditional = await read({ 'if-none-match': before.headers.etag });
      expect(conditional.status).toBe(moves ? 200 : 304);
      seen.add(after.headers.etag);
      before = after;
    };
  }

  test('of an order changes when it is edited, held, released, paid, shipped or canceled, and only then', async () => {
    const id = newId();
    const { etag } = (await putOrder(api, id, orderOf(100))).headers;
    const expectMoved = await watch((headers) => getOrder(api, id, headers));
    await putOrder(api, id, orderOf(100));
    await expectMoved(false);
    await putOrder(api, id, orderOf(200), { 'if-match': '*' });
    await expectMoved(true, { total: 200 });
    await putOrder(api, id, orderOf(300), { 'if-match': etag });
    await expectMoved(false, { total: 200 });
    expect((await pay(api, id, newId(), { amount: 1 })).status).toBe(400);
    await expectMoved(false);

    const open = service.gate.close();
    const declined = pay(api, id, newId(), { payment_method: 'pm_card_visa_chargeDeclined' });
    await service.gate.held(1);
    await expectMoved(true, { charge: expect.any(String) }); // held
    expect((await pay(api, id, newId())).status).toBe(409);
    await expectMoved(false);
    open();
    expect((await declined).status).toBe(402);
    await expectMoved(true, { charge: null }); // released

    const openAgain = service.gate.close();
    const paid = pay(api, id, newId());
    await service.gate.held(1);
    await expectMoved(true, { status: 'open', charge: expect.any(String) });
    openAgain();
    expect((await paid).status).toBe(201);
    await expectMoved(true, { status: 'paid', fulfillment: null });
    expect((await cancelOrder(api, id)).status).toBe(409);
    await expectMoved(false);

    const worker = await service.startWorker();
    await until(async () => (await getOrder(api, id)).body.fulfillment !== null);
    await worker.stop();
    await expectMoved(true, { fulfillment: expect.any(String) });

    const canceled = newId();
    await putOrder(api, canceled, orderOf(100));
    const expectCanceledMoved = await watch((headers) => getOrder(api, canceled, headers));
    await cancelOrder(api, canceled);
    await expectCanceledMoved(true, { status: 'canceled' });
    await cancelOrder(api, canceled);
    await expectCanceledMoved(false);
  });

  test('of a product changes when it is counted, held, released or booked, and only then', async () => {
    const [sku, id] = [newId('sku'), newId()];
    const { etag } = (await putProduct(api, sku, 5)).headers;
    const expectMoved = await watch((headers) => getProduct(api, sku, headers));
    await putProduct(api, sku, 5);
    await expectMoved(false);
    await putProduct(api, sku, 6, { 'if-match': etag });
    await expectMoved(true, { on_hand: 6 });
    await putProduct(api, sku, 7, { 'if-match': etag });
    await expectMoved(false, { on_hand: 6 });
    await putOrder(api, id, orderOf(100, sku));
    await expectMoved(false);
    const open = service.gate.close();
    const declined = pay(api, id, newId(), { payment_method: 'pm_card_visa_chargeDeclined' });
    await service.gate.held(1);
    await expectMoved(true, { held: 1 });
    open();
    await declined;
    await expectMoved(true, { held: 0 });

    expect((await pay(api, id, newId())).status).toBe(201);
    await expectMoved(true, { on_hand: 6, held: 1 });
    const worker = await service.startWorker();
    await until(async () => (await getProduct(api, sku)).body.held === 0);
    await worker.stop();
    await expectMoved(true, { on_hand: 5, held: 0 });
  });
});

describe('differs after a restore, when an earlier version number has other content', () => {
  test.each<[string, number, (id: string, lost?: string) => Promise<Reply>]>([
    ['is not fresh', 200, (id, lost) => getOrder(api, id, { 'if-none-match': lost })],
    ['edits nothing', 412, (id, lost) => putOrder(api, id, orderOf(400), { 'if-match': lost })],
    ['cancels nothing', 412, (id, lost) => cancelOrder(api, id, { 'if-match': lost })],
  ])('the lost tag of an order %s: %i', async (_what, status, ask) => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const known = { 'if-match': made.headers.etag };
    const lost = await putOrder(api, id, orderOf(200), known);
    await service.db.query(
      `UPDATE orders SET total = $2, items = $3, version = 1, updated_at = created_at WHERE id = $1`,
      [id, made.body.total, JSON.stringify(made.body.items)],
    );
    expect((await getOrder(api, id)).text).toBe(made.text);
    const today = await putOrder(api, id, orderOf(300), known);
    expect([lost.body.version, today.body.version]).toEqual([2, 2]);

    expect((await ask(id, lost.headers.etag)).status).toBe(status);
    expect((await getOrder(api, id)).text).toBe(today.text);
  });

  test.each<[string, number, (sku: string, lost?: string) => Promise<Reply>]>([
    ['is not fresh', 200, (sku, lost) => getProduct(api, sku, { 'if-none-match': lost })],
    ['counts nothing', 412, (sku, lost) => putProduct(api, sku, 8, { 'if-match': lost })],
  ])('the lost tag of a product %s: %i', async (_what, status, ask) => {
    const sku = newId('sku');
    const made = await putProduct(api, sku, 5);
    const known = { 'if-match': made.headers.etag };
    const lost = await putProduct(api, sku, 6, known);
    await service.db.query('UPDATE products SET on_hand = 5, version = 1 WHERE sku = $1', [sku]);
    await service.db.query(
      `DELETE FROM stock_movements WHERE sku = $1 AND cause = 'version 2'`, // also missing in the backup
      [sku],
    );
    expect((await getProduct(api, sku)).text).toBe(made.text);
    const today = await putProduct(api, sku, 7, known);
    expect([lost.body.version, today.body.version]).toEqual([2, 2]);

    expect((await ask(sku, lost.headers.etag)).status).toBe(status);
    expect((await getProduct(api, sku)).text).toBe(today.text);
  });
});
