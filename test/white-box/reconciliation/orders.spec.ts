import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { audit } from '../../../src/audit/audit.js';
import { newKey, refund } from '../../refunds/refunds.support.js';
import { paymentsOf } from '../../support/books.js';
import { getCharge, send } from '../../support/raw-client.js';
import {
  clearLedgers,
  lose,
  newOrder,
  paidOrder,
  pay,
  startReconciledService,
  type ReconciledService,
} from './reconcile.support.js';

/** A payment of an order whose charge was lost: the order shows it again, and is not paid or shipped twice. */
let service: ReconciledService;
let api: string;
beforeAll(async () => {
  service = await startReconciledService();
  api = service.apiUrl;
});
beforeEach(() => clearLedgers(service));
afterAll(() => service.stop());

describe('a lost charge of an order', () => {
  test('pays it', async () => {
    const { order, id } = await paidOrder(service);
    await lose(service, id);
    expect(await service.differences()).toEqual([`charge_rebuilt ${id}`]);
    const { body } = await send(`${api}/orders/${order}`);
    expect([body.status, body.charge]).toEqual(['paid', id]);
    expect(await audit(service.pool)).toEqual([]);
  });

  /** A paid order whose charge was lost. */
  async function lostPayment() {
    const { order, id } = await paidOrder(service);
    await lose(service, id);
    return { order, id };
  }
  const stock = (on_hand: number) =>
    service.db.query(
      `INSERT INTO products (account_id, sku, name, on_hand, version)
       SELECT id, 'cup', 'A cup', $1, 1 FROM accounts WHERE name = 'acme'
       ON CONFLICT (account_id, sku) DO UPDATE SET on_hand = $1`,
      [on_hand],
    );

  test.each<[string, (order: string) => Promise<unknown>, (order: string) => Promise<unknown>]>([
    [
      'has another total',
      (order) => service.db.query(`UPDATE orders SET total = 701 WHERE id = $1`, [order]),
      (order) => service.db.query(`UPDATE orders SET total = 700 WHERE id = $1`, [order]),
    ],
    [
      'is gone',
      (order) => service.db.query('DELETE FROM orders WHERE id = $1', [order]),
      (order) => newOrder(service, 700, order),
    ],
    ['has too little stock', () => stock(0), () => stock(1)],
  ])(
    'is guarded while the order %s, so that no other key pays again, and pays it later',
    async (_what, change, changeBack) => {
      const { order, id } = await lostPayment();
      await change(order);
      expect(await service.differences()).toEqual([
        `charge_rebuilt_without_its_order ${id}`,
        `payment_of_an_order_that_does_not_show_it ${id}`,
      ]);
      expect((await getCharge(api, id)).body).toMatchObject({ status: 'succeeded', order: null });
      await changeBack(order);
      const again = await pay(service, order);
      expect([again.status, again.body.code]).toEqual([409, 'order_already_paid']);
      expect(again.body.resource).toMatchObject({ id });

      expect(await service.differences()).toEqual([`order_of_a_rebuilt_charge_paid ${id}`]);
      const { body } = await send(`${api}/orders/${order}`);
      expect([body.status, body.charge]).toEqual(['paid', id]);
      expect(await service.differences()).toEqual([]);
      await service.db.query('DELETE FROM stock_movements');
      await service.db.query('DELETE FROM products');
      expect(await audit(service.pool)).toEqual([]);
    },
  );

  test('waits while another charge holds the order, and pays it if that one fails', async () => {
    const { order, id } = await lostPayment();
    const key = newKey();
    const decline = () =>
      pay(service, order, key, { payment_method: 'pm_card_visa_chargeDeclined' });
    service.gate.be('refusing');
    expect((await decline()).status).toBe(503);
    service.gate.be('open');
    const [payment] = await paymentsOf(service.sandboxUrl, id);
    expect(await service.differences()).toEqual([`payment_without_its_charge ${payment!.id}`]);
    expect((await decline()).status).toBe(402);
    expect(await service.differences()).toEqual([`charge_rebuilt ${id}`]);
    expect((await send(`${api}/orders/${order}`)).body).toMatchObject({
      status: 'paid',
      charge: id,
    });
  });

  test('that was paid again meanwhile is reported as paid twice, until one is refunded', async () => {
    const { order, id } = await lostPayment();
    const second = await pay(service, order);
    expect(second.status).toBe(201);
    expect(await service.differences()).toEqual([
      `charge_rebuilt_without_its_order ${id}`,
      `order_paid_twice ${order}`,
    ]);
    expect(await service.differences()).toEqual([`order_paid_twice ${order}`]);
    expect((await refund(api, id, newKey())).status).toBe(201);
    expect(await service.differences()).toEqual([]);
  });

  test('whose money was refunded is not shipped or paid again', async () => {
    const { order, id } = await paidOrder(service);
    const back = (await refund(api, id, newKey())).body;
    await lose(service, id);
    expect(await service.differences()).toEqual([
      `charge_rebuilt_without_its_order ${id}`,
      `refund_rebuilt ${back.id}`,
    ]);
    expect((await send(`${api}/orders/${order}`)).body.status).toBe('open');
    expect((await pay(service, order)).body.code).toBe('order_already_paid');
    expect(await service.differences()).toEqual([]);
  });
});
