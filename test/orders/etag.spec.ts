import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import {
  cancelOrder,
  getOrder,
  getProduct,
  newId,
  orderOf,
  pay,
  putOrder,
  putProduct,
} from './orders.support.js';

let service: Service;
let api: string;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
});
afterAll(() => service.stop());

describe('If-None-Match on GET', () => {
  test.each(['*', '"v1"', 'W/"v1"', '"v0", W/"v1"'])('%s: 304 without a body', async (tags) => {
    const id = newId();
    await putOrder(api, id, orderOf(100));
    const reply = await getOrder(api, id, { 'if-none-match': tags });
    expect([reply.status, reply.text, reply.headers.etag]).toEqual([304, '', '"v1"']);
  });

  test.each(['"v0"', 'v1', '"*"', '"v1', 'x"v1"'])('%s: 200', async (tags) => {
    const id = newId();
    await putOrder(api, id, orderOf(100));
    expect((await getOrder(api, id, { 'if-none-match': tags })).status).toBe(200);
  });

  test('on an id that is not there is 404', async () => {
    expect((await getOrder(api, newId(), { 'if-none-match': '*' })).status).toBe(404);
  });
});

describe('the ETag', () => {
  /** Fails unless the tag has moved exactly if the rest of what GET shows has. */
  async function watch(read: () => Promise<Reply>) {
    const shown = ({ body: { version: _, ...rest } }: Reply) => JSON.stringify(rest);
    let before = await read();
    return async (moves: boolean) => {
      const after = await read();
      expect(after.headers.etag).toBe(`"v${String(after.body.version)}"`);
      expect(after.headers.etag !== before.headers.etag).toBe(moves);
      expect(shown(after) !== shown(before)).toBe(moves);
      before = after;
    };
  }

  test('of an order moves when it is edited, held, released, paid or canceled, and only then', async () => {
    const id = newId();
    await putOrder(api, id, orderOf(100));
    const expectMoved = await watch(() => getOrder(api, id));
    await putOrder(api, id, orderOf(100));
    await expectMoved(false);
    await putOrder(api, id, orderOf(200), { 'if-match': '*' });
    await expectMoved(true);
    await putOrder(api, id, orderOf(300), { 'if-match': '"v1"' });
    await expectMoved(false);
    expect((await pay(api, id, newId(), { amount: 1 })).status).toBe(400);
    await expectMoved(false);

    const open = service.gate.close();
    const declined = pay(api, id, newId(), { payment_method: 'pm_card_visa_chargeDeclined' });
    await service.gate.held(1);
    await expectMoved(true); // held
    expect((await pay(api, id, newId())).status).toBe(409);
    await expectMoved(false);
    open();
    expect((await declined).status).toBe(402);
    await expectMoved(true); // released

    const openAgain = service.gate.close();
    const paid = pay(api, id, newId());
    await service.gate.held(1);
    await expectMoved(true);
    openAgain();
    expect((await paid).status).toBe(201);
    await expectMoved(true);
    expect((await cancelOrder(api, id)).status).toBe(409);
    await expectMoved(false);

    const canceled = newId();
    await putOrder(api, canceled, orderOf(100));
    const expectCanceledMoved = await watch(() => getOrder(api, canceled));
    await cancelOrder(api, canceled);
    await expectCanceledMoved(true);
    await cancelOrder(api, canceled);
    await expectCanceledMoved(false);
  });

  test('of a product moves when it is counted anew, held or released, and only then', async () => {
    const [sku, id] = [newId('sku'), newId()];
    await putProduct(api, sku, 5);
    const expectMoved = await watch(() => getProduct(api, sku));
    await putProduct(api, sku, 5);
    await expectMoved(false);
    await putProduct(api, sku, 6, { 'if-match': '"v1"' });
    await expectMoved(true);
    await putOrder(api, id, orderOf(100, sku));
    await expectMoved(false);
    const open = service.gate.close();
    const declined = pay(api, id, newId(), { payment_method: 'pm_card_visa_chargeDeclined' });
    await service.gate.held(1);
    await expectMoved(true);
    open();
    await declined;
    await expectMoved(true);
  });
});
