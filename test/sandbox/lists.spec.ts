import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type Stripe from 'stripe';
import type { Sandbox } from '../support/internals.js';
import { errorOf, sdk, sql, start } from './sandbox.support.js';

// These payments have their own day in the shared ledger, long before all other payments.
const DAY = Date.UTC(2001, 1, 3) / 1000;
const SECONDS = 10;
const PER_SECOND = 3;

let sandbox: Sandbox;
let stripe: Stripe;
let newestFirst: string[];

beforeAll(async () => {
  sandbox = await start();
  stripe = sdk(sandbox.port);
  await sql('DELETE FROM sandbox.payment_intents WHERE created_at < to_timestamp($1)', [
    DAY + 86_400,
  ]);
  // Three in the same microsecond of each second, so that only a total order can page through them.
  const { rows } = await sql(
    `INSERT INTO sandbox.payment_intents
       (id, amount, currency, status, payment_method_types, metadata, created_at)
     SELECT 'pi_list' || md5(n::text), 100, 'eur', 'requires_payment_method', '{card}', '{}',
       to_timestamp($1) + make_interval(secs => n / $2) + interval '0.999999 s'
     FROM generate_series(0, $3) AS n
     RETURNING id, extract(epoch FROM created_at) AS at`,
    [DAY, PER_SECOND, SECONDS * PER_SECOND - 1],
  );
  newestFirst = rows
    .sort((a, b) => Number(b.at) - Number(a.at) || (a.id < b.id ? 1 : -1))
    .map(({ id }) => id);
});
afterAll(() => sandbox.close());

const ofTheDay = { gte: DAY, lt: DAY + 86_400 };

describe('the list of payment intents', () => {
  it('pages through everything once, newest first', async () => {
    const list = stripe.paymentIntents.list({ limit: 4, created: ofTheDay });
    const seen = await list.autoPagingToArray({ limit: 1_000 });
    expect(seen.map(({ id }) => id)).toEqual(newestFirst);
  });

  it('has ten on a page and says whether there are more', async () => {
    const page = await stripe.paymentIntents.list({ created: ofTheDay });
    expect(page).toMatchObject({ object: 'list', has_more: true, url: '/v1/payment_intents' });
    expect(page.data.map(({ id }) => id)).toEqual(newestFirst.slice(0, 10));
    const all = await stripe.paymentIntents.list({ created: ofTheDay, limit: 30 });
    expect(all.has_more).toBe(false);
    expect(all.data).toHaveLength(30);
  });

  it('pages backwards with ending_before', async () => {
    const page = await stripe.paymentIntents.list({
      created: ofTheDay,
      limit: 3,
      ending_before: newestFirst[10],
    });
    expect(page.data.map(({ id }) => id)).toEqual(newestFirst.slice(7, 10));
    expect(page.has_more).toBe(true);
  });

  it.each([
    ['gte', 9, 3],
    ['gt', 8, 3],
    ['lte', 0, 3],
    ['lt', 1, 3],
  ])('compares whole seconds with created[%s]', async (operator, second, expected) => {
    const created = { ...ofTheDay, [operator]: DAY + second };
    const page = await stripe.paymentIntents.list({ limit: 100, created });
    expect(page.data).toHaveLength(expected);
  });

  it('takes an exact second as created', async () => {
    const page = await stripe.paymentIntents.list({ created: DAY + 5 });
    expect(page.data.map(({ created }) => created)).toEqual([DAY + 5, DAY + 5, DAY + 5]);
  });

  it('refuses invalid limits, cursors and parameters', async () => {
    const newest = newestFirst[0];
    for (const [params, expected] of [
      [{ limit: 0 }, { param: 'limit' }],
      [{ limit: 101 }, { param: 'limit' }],
      [{ starting_after: 'pi_missing' }, { code: 'resource_missing', param: 'starting_after' }],
      [{ starting_after: newest, ending_before: newest }, {}],
      [{ colour: 'red' }, { code: 'parameter_unknown' }],
      [{ created: { gte: 'soon' } }, { code: 'parameter_invalid_integer' }],
    ] as [Stripe.PaymentIntentListParams, object][]) {
      const error = await errorOf(stripe.paymentIntents.list(params));
      expect(error).toMatchObject({ statusCode: 400, ...expected });
    }
  });
});
