import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { audit } from '../../../src/audit/audit.js';
import { newKey, refund } from '../../refunds/refunds.support.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import {
  failAtProcessor,
  refundInDashboard,
} from '../../webhooks/incoming/refunds/at-processor.support.js';
import {
  clearLedgers,
  lose,
  paidOrder,
  startReconciledService,
  type ReconciledService,
} from './reconcile.support.js';

/** Refunds that our books have lost, and refunds that an operator made at the processor. */
let service: ReconciledService;
let api: string;
beforeAll(async () => {
  service = await startReconciledService();
  api = service.apiUrl;
});
beforeEach(() => clearLedgers(service));
afterAll(() => service.stop());

describe('a refund that was lost', () => {
  test('is rebuilt, also together with its charge', async () => {
    const key = newKey();
    const { id } = (await charge(api, newKey())).body;
    const back = (await refund(api, id, key, { amount: 500 })).body;
    await lose(service, id);
    expect(await service.differences()).toEqual([
      `charge_rebuilt ${id}`,
      `refund_rebuilt ${back.id}`,
    ]);
    expect((await getCharge(api, id)).body.amount_refunded).toBe(500);
    expect(await audit(service.pool)).toEqual([]);
    const again = await refund(api, id, key, { amount: 500 });
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_key_expired']);
    expect(await service.differences()).toEqual([]);
  });
});

describe('a refund that was made at the processor', () => {
  /** It has no id of ours, only the shop's own metadata. */
  async function atTheDesk(chargeId: string, amount: number): Promise<string> {
    const payment = (await getCharge(api, chargeId)).body.processor_reference as string;
    return (await refundInDashboard(service, payment, amount, { refund: 'RMA-17' })).id;
  }

  const refundsOf = async (id: string) =>
    (await send(`${api}/charges/${id}/refunds`)).body.data as Record<string, unknown>[];

  test('is booked once by many concurrent runs, and later ones find no difference', async () => {
    const { id } = (await charge(api, newKey())).body;
    const reference = await atTheDesk(id, 500);
    const found = (
      await Promise.all([service.differences(), service.differences(), service.differences()])
    ).flat();
    const [booked] = await refundsOf(id);
    expect(found).toContain(`refund_made_elsewhere_booked ${booked!.id}`);
    expect(found.filter((line) => line.startsWith('refund_made_elsewhere_booked'))).toHaveLength(1);
    expect(booked).toMatchObject({ amount: 500, reason: null, processor_reference: reference });
    expect((await getCharge(api, id)).body.amount_refunded).toBe(500);
    expect(await service.differences()).toEqual([]);
    expect(await audit(service.pool)).toEqual([]);
  });

  test('and failed before we knew of it is reported once', async () => {
    const { id } = (await charge(api, newKey())).body;
    const reference = await atTheDesk(id, 500);
    await failAtProcessor(service, reference);
    const found = await service.differences();
    const [booked] = await refundsOf(id);
    expect(found).toEqual([`refund_made_elsewhere_booked ${String(booked!.id)}`]);
    expect(booked).toMatchObject({ status: 'failed', failure_code: 'lost_or_stolen_card' });
    expect(await service.differences()).toEqual([]);
    expect(await audit(service.pool)).toEqual([]);
  });

  test('and may be a pending one of ours without its metadata is not booked', async () => {
    const { id } = (await charge(api, newKey())).body;
    const key = newKey();
    service.gate.be('losing');
    const lost = await refund(api, id, key, { amount: 500 });
    service.gate.be('open');
    expect(lost.status).toBe(504);
    await service.db.query(`UPDATE sandbox.refunds SET metadata = '{}'`);
    expect(await service.differences()).toEqual([]);
    expect(await refund(api, id, key, { amount: 500 })).toMatchObject({
      status: 201,
      body: { id: lost.body.refund },
    });
    expect(await refundsOf(id)).toHaveLength(1);
    expect(await service.differences()).toEqual([]);
  });

  test('is booked together with a lost charge, and its order is not shipped again', async () => {
    const { id } = await paidOrder(service);
    await atTheDesk(id, 700);
    await lose(service, id);
    const found = await service.differences();
    const [booked] = await refundsOf(id);
    expect(found).toEqual([
      `charge_rebuilt_without_its_order ${id}`,
      `refund_made_elsewhere_booked ${booked!.id}`,
    ]);
    expect(await service.differences()).toEqual([]);
  });

  test('and one through the API that failed after it had succeeded are both updated', async () => {
    const { id } = (await charge(api, newKey())).body;
    const { body: ours } = await refund(api, id, newKey(), { amount: 1200 });
    await failAtProcessor(service, ours.processor_reference as string);
    await atTheDesk(id, 800);
    const found = await service.differences();
    const booked = (await refundsOf(id)).find(({ status }) => status === 'succeeded');
    expect(found).toEqual([
      `refund_failed_after_it_had_succeeded ${ours.id}`,
      `refund_made_elsewhere_booked ${String(booked!.id)}`,
    ]);
    expect((await getCharge(api, id)).body.amount_refunded).toBe(800);
    expect((await send(`${api}/refunds/${ours.id}`)).body).toMatchObject({
      status: 'failed',
      failure_code: 'lost_or_stolen_card',
    });
    expect(await service.differences()).toEqual([]);
    expect(await audit(service.pool)).toEqual([]);
  });
});
