import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApp, type TestApp } from '../support/app.js';
import { CHARGE, post } from '../support/client.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ env: { LAB: '1' } });
});
afterAll(() => app.stop());

const charge = (members: object) => post(app, '/charges', { ...CHARGE, ...members });
const chargeText = (members: string) =>
  post(app, '/charges', `{"payment_method":"pm_card_visa","currency":"eur",${members}}`);

async function refused(members: object): Promise<string[]> {
  const { status, body } = await charge(members);
  expect({ status, code: body.code }).toEqual({ status: 400, code: 'validation_failed' });
  expect(body.retry).toBe('after_fix');
  const errors: { pointer: string; detail: string }[] = body.errors;
  for (const error of errors) {
    expect(Object.keys(error)).toEqual(['pointer', 'detail']);
    expect(error.detail).toMatch(/^\w/);
  }
  return errors.map(({ pointer }) => pointer);
}

const WRONG_TYPES = [null, true, [], {}, ['x'], { a: 1 }];
const EMOJI = '👩‍💻'; // one picture, three code points

it.each([
  ['amount', ['', undefined, ...WRONG_TYPES]],
  ['currency', [['eur'], undefined, ...WRONG_TYPES]],
])('%s refuses every other type, and must be present', async (member, values) => {
  for (const value of values) expect(await refused({ [member]: value })).toEqual([`/${member}`]);
});

describe('amount', () => {
  it.each(['1', '99999999', '1.0', '1e3', '100e-2'])('takes %s', async (literal) => {
    const made = await chargeText(`"amount":${literal}`);
    expect(made.status).toBe(201);
    expect(made.body.amount).toBe(Number(literal));
  });

  it.each(['0', '-0', '-1', '100000000', '1.5', '"1"', '9007199254740992', '1e300', '5e-324'])(
    'refuses %s',
    async (literal) => {
      const reply = await chargeText(`"amount":${literal}`);
      expect(reply).toMatchObject({ status: 400, body: { errors: [{ pointer: '/amount' }] } });
      expect(reply.body.errors).toHaveLength(1);
    },
  );
});

describe('currency', () => {
  it.each(['usd', 'jpy', 'kwd', 'xof', 'huf', 'twd'])('takes %s', async (currency) => {
    expect((await charge({ currency })).body).toMatchObject({ currency });
  });

  it.each(['EUR', 'Eur', 'zzz', 'eu', 'euro', '', ' eur', 'eur\n', 978])(
    'refuses %p',
    async (currency) => {
      expect(await refused({ currency })).toEqual(['/currency']);
    },
  );

  it.each(['isk', 'ugx', 'mga', 'xau', 'xdr', 'xts', 'xxx'])(
    'refuses %s, which is not money or has other decimals at the processor than in ISO 4217',
    async (currency) => {
      expect(await refused({ currency })).toEqual(['/currency']);
      const naive = await post(app, '/lab/naive/charges', { ...CHARGE, currency });
      expect(naive.body.errors[0].detail).toBe(
        'must be the lower-case ISO 4217 code of a currency that the processor takes',
      );
      expect(naive).toMatchObject({ status: 400, body: { errors: [{ pointer: '/currency' }] } });
    },
  );

  it('with three decimals accepts and refunds only amounts that end in 0', async () => {
    expect(await refused({ currency: 'kwd', amount: 5124 })).toEqual(['/amount']);
    const paid = await charge({ currency: 'kwd', amount: 5120 });
    expect(paid.status).toBe(201);
    const refunds = `/charges/${paid.body.id}/refunds`;
    const broken = await post(app, refunds, { amount: 101 });
    expect(broken).toMatchObject({
      status: 400,
      body: { code: 'validation_failed', retry: 'after_fix', errors: [{ pointer: '/amount' }] },
    });
    expect((await post(app, refunds, { amount: 110 })).status).toBe(201);
    expect((await post(app, refunds, {})).body).toMatchObject({ amount: 5010 });
  });
});

describe('strings', () => {
  it('payment_method has 1 to 255 characters', async () => {
    const unknown = await charge({ payment_method: 'p'.repeat(255) });
    expect(unknown.body.code).not.toBe('validation_failed');
    for (const payment_method of ['', 'p'.repeat(256), 1, undefined, ...WRONG_TYPES])
      expect(await refused({ payment_method })).toEqual(['/payment_method']);
  });

  it('description has up to 1000 characters', async () => {
    for (const description of ['', 'd'.repeat(1000), '\u{10ffff}'])
      expect((await charge({ description })).body).toMatchObject({ description });
    for (const description of ['d'.repeat(1001), 1, ...WRONG_TYPES])
      expect(await refused({ description })).toEqual(['/description']);
  });

  it('are counted in code points, so an emoji may count as several', async () => {
    const fits = EMOJI.repeat(333) + '😀';
    expect((await charge({ description: fits })).body).toMatchObject({ description: fits });
    expect(await refused({ description: `${fits}x` })).toEqual(['/description']);
    expect((await charge({ description: '😀'.repeat(1000) })).status).toBe(201);
  });

  it('are counted with variation selectors and combining marks', async () => {
    expect(await refused({ description: '☎\uFE0F'.repeat(501) })).toEqual(['/description']);
    expect(await refused({ description: '\u0301'.repeat(1001) })).toEqual(['/description']);
  });

  it.each(['a@example.com', 'a.b+c@mail.example.co.uk', 'ü@example.com', '"a b"@example.com'])(
    'receipt_email takes %s',
    async (receipt_email) => {
      expect((await charge({ receipt_email })).body).toMatchObject({ receipt_email });
    },
  );

  it.each([
    'a',
    'a@',
    '@example.com',
    'a@example',
    'a b@example.com',
    'a@example.com\nBcc: b@example.com',
    'Ann <a@example.com>',
    'a@example.com, b@example.com',
    '',
    `${'a'.repeat(65)}@example.com`,
    7,
    ...WRONG_TYPES,
  ])('receipt_email refuses %p', async (receipt_email) => {
    expect(await refused({ receipt_email })).toEqual(['/receipt_email']);
  });
});

describe('metadata', () => {
  const pairs = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, `v${i}`]));

  it.each([
    ['nothing', {}],
    ['50 pairs', pairs(50)],
    ['a key of 40 characters', { ['k'.repeat(40)]: 'v' }],
    ['a key of 40 emoji', { ['😀'.repeat(40)]: 'v' }],
    ['a value of 500 characters', { k: 'v'.repeat(500) }],
    ['an empty value', { k: '' }],
    ['keys with ~ and /', { 'a/b~c': 'd' }],
  ])('takes %s and returns it', async (_what, metadata) => {
    expect(await charge({ metadata })).toMatchObject({ status: 201, body: { metadata } });
  });

  it.each([
    ['51 pairs', pairs(51), ['/metadata']],
    ['a key of 41 characters', { ['k'.repeat(41)]: 'v' }, [`/metadata/${'k'.repeat(41)}`]],
    ['an empty key', { '': 'v' }, ['/metadata/']],
    ['a value of 501 characters', { k: 'v'.repeat(501), l: 'v' }, ['/metadata/k']],
    [
      'values that are no strings',
      { k: 1, l: null, m: {}, n: [], o: 'v' },
      ['/metadata/k', '/metadata/l', '/metadata/m', '/metadata/n'],
    ],
    ['a wrong value under a key with ~ and /', { 'a/b~c': 1 }, ['/metadata/a~1b~0c']],
    ['an array', [], ['/metadata']],
    ['a text', 'k=v', ['/metadata']],
    ['null', null, ['/metadata']],
  ])('refuses %s and points at it', async (_what, metadata, pointers) => {
    expect(await refused({ metadata })).toEqual(pointers);
  });
});

describe('members', () => {
  it('that are unknown are refused by name, with ~ and / escaped as in RFC 6901', async () => {
    const pointers = await refused({ capture: true, 'a/b': 1, 'm~n': 2, '': 3, Amount: 4 });
    expect(pointers).toEqual(['/capture', '/a~1b', '/m~0n', '/', '/Amount']);
  });

  it('that are wrong are all reported, each once', async () => {
    const wrong = {
      amount: 'x',
      currency: 'EUR',
      payment_method: null,
      description: 5,
      receipt_email: 'x',
      order: 'a b',
      nonsense: 1,
    };
    const pointers = Object.keys(wrong).map((name) => `/${name}`);
    const reported = await refused({ ...wrong, metadata: { k: 1 } });
    expect(reported.sort()).toEqual([...pointers, '/metadata/k'].sort());
  });

  it('that are missing in an empty object are reported', async () => {
    const { body } = await post(app, '/charges', {});
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      '/amount',
      '/currency',
      '/payment_method',
    ]);
  });

  it('that are left out are null in the charge', async () => {
    expect((await post(app, '/charges', CHARGE)).body).toMatchObject({
      description: null,
      receipt_email: null,
      order: null,
      metadata: {},
      failure_code: null,
      decline_code: null,
    });
  });
});

describe('order', () => {
  it('that does not exist is 404 after_fix, with or without amount and currency', async () => {
    const bare = { payment_method: 'pm_card_visa', order: 'ord-none' };
    for (const body of [bare, { ...CHARGE, ...bare }]) {
      expect(await post(app, '/charges', body)).toMatchObject({
        status: 404,
        body: { code: 'not_found', retry: 'after_fix' },
      });
    }
  });

  it('does not make a wrong amount valid', async () => {
    const pointers = await refused({ order: 'ord-none', amount: 0, currency: null });
    expect(pointers).toEqual(['/currency', '/amount']);
  });

  it.each(['', 'a b', 'a/b', 'ä', 'o'.repeat(65), 'a\n', 5, ...WRONG_TYPES])(
    'refuses %p',
    async (order) => {
      expect(await refused({ order })).toEqual(['/order']);
    },
  );
});
