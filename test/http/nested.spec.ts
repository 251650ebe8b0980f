import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApp, type TestApp } from '../support/app.js';
import { call } from '../support/client.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

const ITEM = { sku: 'tea', quantity: 2, unit_amount: 600 };
const put = (items: unknown) =>
  call(app, `/orders/${randomUUID()}`, { method: 'PUT', body: { currency: 'eur', items } });

describe('a member that is a list of objects', () => {
  it.each([
    ['a list in it', [ITEM, []], '/items/1'],
    ['null in it', [null], '/items/0'],
    ['a text in it', [ITEM, 'tea'], '/items/1'],
    ['an unknown member in it', [{ ...ITEM, colour: 'red' }], '/items/0/colour'],
    ['null for a member in it', [{ ...ITEM, sku: null }], '/items/0/sku'],
    ['a wrong value in it', [ITEM, { ...ITEM, quantity: 0 }], '/items/1/quantity'],
    ['nothing in it', [], '/items'],
    ['too much in it', Array.from({ length: 101 }, () => ITEM), '/items'],
    ['an object in its place', { 0: ITEM }, '/items'],
    ['a list of lists in its place', [[ITEM]], '/items/0'],
  ])('with %s is refused with its pointer', async (_what, items, pointer) => {
    const { status, body } = await put(items);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'validation_failed' });
    expect(body.errors[0].pointer).toBe(pointer);
  });

  it('with objects in it is accepted', async () => {
    expect((await put(Array.from({ length: 100 }, () => ITEM))).status).toBe(201);
  });
});
