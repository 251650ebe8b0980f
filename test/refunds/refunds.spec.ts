import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { charge, getCharge, send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { newCharge, newKey, refund, refundFaults, refundsAtProcessor } from './refunds.support.js';

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(async () => {
  expect(await refundFaults(service.db, service.sandboxUrl)).toEqual([]);
});
afterAll(() => service.stop());

const chargeLink = (id: string) => ({ object: 'charge', id, url: `/charges/${id}` });
const atProcessor = (id: string) => refundsAtProcessor(service.sandboxUrl, id);

describe('POST /charges/{id}/refunds', () => {
  test('refunds part of a charge', async () => {
    const id = await newCharge(api);
    const key = newKey();
    const made = await refund(api, id, key, { amount: 500, reason: 'one cup was broken' });
    expect(made.status).toBe(201);
    expect(made.headers.location).toBe(`/refunds/${made.body.id}`);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^re_[0-9a-v]{32}$/),
      object: 'refund',
      charge: id,
      amount: 500,
      currency: 'eur',
      status: 'succeeded',
      reason: 'one cup was broken',
      failure_code: null,
      processor_reference: expect.stringMatching(/^re_/),
      created_at: expect.stringMatching(/Z$/),
    });
    const again = await refund(other.url, id, key, { reason: 'one cup was broken', amount: 500 });
    expect([again.status, again.text]).toEqual([201, made.text]);
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect((await send(`${api}/refunds/${made.body.id}`)).text).toBe(made.text);
    expect((await getCharge(api, id)).body).toMatchObject({ amount: 1200, amount_refunded: 500 });
    expect(await atProcessor(id)).toMatchObject([
      { amount: 500, status: 'succeeded', metadata: { refund: made.body.id, charge: id } },
    ]);
  });

  test.each<[string, unknown]>([
    ['no body at all', null],
    ['an empty body', ''],
    ['{}', '{}'],
    ['white space around {}', ' { } '],
  ])('with %s gives back all that is left, fixed when it was reserved', async (_what, body) => {
    const id = await newCharge(api);
    await refund(api, id, newKey(), { amount: 300 });
    const key = newKey();
    const url = `${api}/charges/${id}/refunds`;
    const ask = () =>
      send(url, { method: 'POST', key, ...(body === null ? {} : { body: body as string }) });
    const rest = await ask();
    expect(rest).toMatchObject({ status: 201, body: { amount: 900, reason: null } });
    expect((await ask()).text).toBe(rest.text);
    // The same intent in every notation of "no amount".
    expect((await refund(api, id, key)).text).toBe(rest.text);
    expect((await getCharge(api, id)).body.amount_refunded).toBe(1200);
  });

  test('refunds up to the last cent and no more', async () => {
    const id = await newCharge(api);
    expect((await refund(api, id, newKey(), { amount: 1199 })).status).toBe(201);
    const key = newKey();
    for (const body of [{ amount: 2 }, { amount: 99_999_999 }]) {
      const refused = await refund(api, id, key, body);
      expect(refused).toMatchObject({
        status: 409,
        body: { code: 'refund_exceeds_charge', retry: 'no', resource: chargeLink(id) },
      });
    }
    expect((await refund(api, id, key, { amount: 1 })).status).toBe(201); // the key was still unused
    for (const body of [{ amount: 1 }, {}]) {
      const refused = await refund(api, id, newKey(), body);
      expect(refused).toMatchObject({ status: 409, body: { code: 'refund_exceeds_charge' } });
    }
    expect((await atProcessor(id)).map(({ amount }) => amount).sort()).toEqual([1, 1199]);
  });

  test('of a charge that failed is refused', async () => {
    const declined = await charge(api, newKey(), { payment_method: 'pm_card_visa_chargeDeclined' });
    const id = declined.body.charge;
    const refused = await refund(api, id, newKey());
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'charge_not_refundable', retry: 'no', resource: chargeLink(id) },
    });
  });

  test('of a charge that is pending waits for its end', async () => {
    const open = service.gate.close();
    const running = charge(api, newKey());
    await service.gate.held(1);
    const { body } = await send(`${api}/charges?status=pending`);
    const [{ id }] = body.data as [{ id: string }];
    const key = newKey();
    const early = await refund(api, id, key, { amount: 1 });
    open();
    expect(early).toMatchObject({
      status: 409,
      body: { code: 'payment_pending', retry: 'same_key', resource: chargeLink(id) },
    });
    expect(early.headers['retry-after']).toBe('1');
    await running;
    expect((await refund(api, id, key, { amount: 1 })).status).toBe(201);
  });

  test.each(['ch_absent', 'ord_x', 'a.b', 'zażółć', 'x'.repeat(300)])(
    'of %j is 404, the same bytes as for a charge of another account',
    async (absent) => {
      const theirs = await charge(api, newKey(), {}, { apiKey: 'sk_test_globex' });
      const bytes = async (id: string) => {
        const { status, text, body } = await refund(api, encodeURIComponent(id), newKey());
        expect([status, body.code, body.retry]).toEqual([404, 'not_found', 'after_fix']);
        return text.replace(String(body.request_id), '');
      };
      expect(await bytes(absent)).toBe(await bytes(theirs.body.id));
    },
  );

  test.each<[string, unknown, string]>([
    ['0', { amount: 0 }, '/amount'],
    ['less than nothing', { amount: -1 }, '/amount'],
    ['half a cent', { amount: 0.5 }, '/amount'],
    ['text', { amount: '100' }, '/amount'],
    ['null', { amount: null }, '/amount'],
    ['too much for any charge', { amount: 100_000_000 }, '/amount'],
    ['a reason of null', { reason: null }, '/reason'],
    ['a reason that is a number', { reason: 1 }, '/reason'],
    ['a reason of 256 characters', { reason: 'x'.repeat(256) }, '/reason'],
    ['a currency', { currency: 'eur' }, '/currency'],
  ])('refuses %s', async (_what, body, pointer) => {
    const id = await newCharge(api);
    const refused = await refund(api, id, newKey(), body);
    expect(refused).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((refused.body.errors as { pointer: string }[])[0]?.pointer).toBe(pointer);
    expect((await getCharge(api, id)).body.amount_refunded).toBe(0);
  });

  test('refuses a body that is not a JSON object, and a missing key', async () => {
    const id = await newCharge(api);
    const codes = [];
    for (const body of ['[]', '5', 'null', '{"amount":1,"amount":2}', '{']) {
      codes.push((await refund(api, id, newKey(), body)).body.code);
    }
    expect(codes).toEqual(codes.map(() => 'malformed_json'));
    const keyless = await send(`${api}/charges/${id}/refunds`, { method: 'POST', body: {} });
    expect(keyless.body.code).toBe('idempotency_key_missing');
  });

  test('one key is one refund: of another charge, of another amount it is 422', async () => {
    const [one, two] = [await newCharge(api), await newCharge(api)];
    const key = newKey();
    await refund(api, one, key, { amount: 10 });
    const otherCharge = await refund(api, two, key, { amount: 10 });
    const otherAmount = await refund(api, one, key, { amount: 20 });
    expect(otherCharge).toMatchObject({ status: 422, body: { mismatched: [] } });
    expect(otherAmount).toMatchObject({ status: 422, body: { mismatched: ['/amount'] } });
  });

  test('after its key has expired the refund still prevents a second one', async () => {
    const id = await newCharge(api);
    const key = newKey();
    const { body } = await refund(api, id, key, { amount: 600 });
    await service.db.query('DELETE FROM idempotency_records WHERE key = $1', [key]);
    const resource = { object: 'refund', id: body.id, url: `/refunds/${body.id}` };
    for (const again of [{ amount: 600 }, { amount: 1200 }, {}]) {
      const late = await refund(api, id, key, again);
      expect(late).toMatchObject({
        status: 409,
        body: { code: 'idempotency_key_expired', resource },
      });
    }
    expect((await getCharge(api, id)).body.amount_refunded).toBe(600);
  });
});

describe('GET /charges/{id}/refunds', () => {
  test('lists that charge’s refunds, newest first, in pages', async () => {
    const id = await newCharge(api);
    const other = (await refund(api, await newCharge(api), newKey(), { amount: 1 })).body.id;
    const ids: string[] = [];
    for (let i = 1; i <= 5; i++) {
      ids.unshift((await refund(api, id, newKey(), { amount: i })).body.id);
    }
    const url = `/charges/${id}/refunds`;
    const listed = async (query = '') => {
      const { body } = await send(`${api}${url}${query}`);
      const data = body.data as { id: string }[];
      return { ...body, ids: data.map((each) => each.id) };
    };
    const all = await listed();
    expect(all).toMatchObject({ object: 'list', has_more: false, url, ids });
    expect(await listed('?limit=2')).toMatchObject({ has_more: true, ids: ids.slice(0, 2) });
    const after = await listed(`?limit=2&starting_after=${ids[1]}`);
    expect(after).toMatchObject({ has_more: true, ids: ids.slice(2, 4) });
    expect((await listed(`?limit=2&ending_before=${ids[4]}`)).ids).toEqual(ids.slice(2, 4));
    expect((await send(`${api}${url}?limit=0`)).status).toBe(400);
    for (const cursor of ['re_absent', other])
      expect((await send(`${api}${url}?starting_after=${cursor}`)).status).toBe(400);
  });

  test('of another account’s charge, and a refund of another account, are 404', async () => {
    const theirs = { apiKey: 'sk_test_globex' };
    const { body } = await charge(api, newKey(), {}, theirs);
    const made = await refund(api, body.id, newKey(), {}, theirs);
    expect((await send(`${api}/charges/${body.id}/refunds`)).status).toBe(404);
    expect((await send(`${api}/refunds/${made.body.id}`)).status).toBe(404);
    expect((await send(`${api}/refunds/${made.body.id}`, theirs)).status).toBe(200);
  });
});
