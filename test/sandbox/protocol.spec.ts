import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sandbox } from '../support/internals.js';
import { payment, post, start } from './sandbox.support.js';

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await start();
});
afterAll(() => sandbox.close());

describe('the protocol around the payments', () => {
  it('accepts a plain form POST with Basic authentication, without the SDK', async () => {
    const basic = Buffer.from('sk_test_other:').toString('base64');
    const reply = await post(sandbox, '/v1/payment_intents', payment('pm_card_visa'), {
      headers: { authorization: `Basic ${basic}` },
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({ status: 'succeeded' });
    expect(reply.headers.get('request-id')).toMatch(/^req_/);
  });

  it.each(['', 'Bearer', 'Bearer sk_live_abc', 'Bearer sk_test_', 'Basic !!!', 'Digest x'])(
    'answers 401 to the credentials "%s" without repeating them',
    async (authorization) => {
      const reply = await post(sandbox, '/v1/payment_intents', payment('pm_card_visa'), {
        headers: { authorization },
      });
      expect(reply.status).toBe(401);
      expect(reply.body.error).toMatchObject({ type: 'invalid_request_error' });
      expect(reply.text).not.toContain('sk_live_abc');
    },
  );

  it("answers unknown routes in Stripe's shape", async () => {
    for (const path of ['/v1/customer', '/v1/payment_intents/pi_1/captured', '/nowhere']) {
      const reply = await post(sandbox, path, {});
      expect(reply.status).toBe(404);
      expect(reply.body.error).toMatchObject({
        type: 'invalid_request_error',
        message: expect.stringContaining(`Unrecognized request URL (POST: ${path})`),
      });
    }
  });

  it.each([
    ['JSON', '{"amount":1}', 'application/json', 400],
    ['a broken charset', 'amount=1', 'application/x-www-form-urlencoded; charset=nope', 415],
    [
      'a body that is too large',
      `a=${'x'.repeat(2_000_000)}`,
      'application/x-www-form-urlencoded',
      413,
    ],
    ['broken percent signs', 'amount=%E0%A4%A&%=%', 'application/x-www-form-urlencoded', 400],
  ])('refuses %s and keeps running', async (_what, body, type, status) => {
    const reply = await post(sandbox, '/v1/payment_intents', body, {
      headers: { 'content-type': type },
    });
    expect(reply.status).toBe(status);
    expect(reply.body.error?.type).toBe('invalid_request_error');
    expect((await fetch(`${sandbox.url}/health/ready`)).status).toBe(200);
  });

  it('refuses a path that cannot be decoded', async () => {
    const reply = await post(sandbox, '/v1/payment_intents/%E0%A4%A/cancel', {});
    expect(reply.status).toBe(400);
  });
});
