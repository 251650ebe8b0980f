import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { drained, skipPauses } from '../effects/effects.support.js';
import { expectCleanBooks } from '../support/books.js';
import { send } from '../support/raw-client.js';
import { startReceiver, type Received, type Receiver } from '../support/receiver.js';
import { forgetPromises } from '../support/retry-promise.js';
import { startService, type Service } from '../support/service.js';
import { expireIn } from '../support/time.js';
import { until } from '../support/until.js';
import {
  deliveriesOf,
  forgetEndpoints,
  happen,
  LATER,
  newEndpoint,
  postEndpoint,
  type TestEndpoint,
} from './webhooks.support.js';

let service: Service;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  service = await startService();
  await service.startWorker();
});
beforeEach(() => forgetEndpoints(service.db));
afterAll(() => expectCleanBooks(service));
afterAll(async () => {
  await service.stop();
  await receiver.stop();
});

async function delivered(endpoint: TestEndpoint): Promise<Received> {
  const before = receiver.at(endpoint.path).length;
  await happen(service);
  await receiver.received(endpoint.path, before + 1);
  return receiver.at(endpoint.path).at(-1)!;
}

const headersOf = ({ headers }: Received) => headers as Record<string, string>;
const verify = (secret: string, received: Received, changes: Record<string, string> = {}) =>
  new Webhook(secret).verify(received.body, { ...headersOf(received), ...changes });

describe('a delivery is signed by Standard Webhooks', () => {
  test('the package verifies it with the endpoint’s secret', async () => {
    const endpoint = await newEndpoint(service, receiver);
    const received = await delivered(endpoint);
    expect(verify(endpoint.secret, received)).toMatchObject({ type: 'charge.succeeded' });
    expect(received.headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}=$/);
    expect(received.headers['webhook-timestamp']).toMatch(/^\d{10}$/);
  });

  test('the package rejects anything else', async () => {
    const [endpoint, other] = [
      await newEndpoint(service, receiver),
      await newEndpoint(service, receiver),
    ];
    const received = await delivered(endpoint);
    const { body } = received;
    const at = Number(received.headers['webhook-timestamp']);
    expect(() => verify(other.secret, received)).toThrow('No matching signature');
    expect(() =>
      verify(endpoint.secret, { ...received, body: body.replace('1200', '1') }),
    ).toThrow();
    expect(() => verify(endpoint.secret, { ...received, body: ` ${body}` })).toThrow();
    for (const [name, value] of [
      ['webhook-id', `evt_${randomUUID()}`],
      ['webhook-timestamp', String(at + 1)],
      ['webhook-timestamp', String(at - 301)],
      ['webhook-signature', 'v1,AAAA'],
      ['webhook-signature', ''],
    ] as const)
      expect(() => verify(endpoint.secret, received, { [name]: value })).toThrow();
  });

  test('each attempt has the same id and its own time and signature', async () => {
    const endpoint = await newEndpoint(service, receiver);
    receiver.answer(endpoint.path, (response) => response.writeHead(500).end());
    const first = await delivered(endpoint);
    receiver.answer(endpoint.path, (response) => response.end());
    // The signature contains the time in seconds, so wait for the next second.
    const second = Number(first.headers['webhook-timestamp']);
    while (Math.floor(Date.now() / 1000) === second) await new Promise(setImmediate);
    await skipPauses(service.db);
    await receiver.received(endpoint.path, 2);
    const again = receiver.at(endpoint.path)[1]!;
    verify(endpoint.secret, again);
    expect(again.headers['webhook-id']).toBe(first.headers['webhook-id']);
    expect(again.body).toBe(first.body);
    expect(again.headers['webhook-signature']).not.toBe(first.headers['webhook-signature']);
  });
});

describe('an endpoint that is made again with the same id', () => {
  const deletes = {
    'was deleted': ({ id }: TestEndpoint) =>
      send(`${service.apiUrl}/webhook-endpoints/${id}`, { method: 'DELETE' }),
    'was deleted when its secrets did not end with it': ({ id }: TestEndpoint) =>
      service.db.query('UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1', [id]),
  };
  test.each(Object.entries(deletes))(
    'after it %s signs with its new secret alone, and gets no earlier events',
    async (how, remove) => {
      const [key, path] = [randomUUID(), `/${randomUUID()}`];
      const hooks = { url: receiver.url + path, events: ['charge.succeeded'] };
      const make = async () => {
        const { body } = await postEndpoint(service.apiUrl, hooks, key);
        return { id: body.id, secret: String(body.secret), path };
      };
      const first = await make();
      await send(`${service.apiUrl}/webhook-endpoints/${first.id}/rotate-secret`, {
        method: 'POST',
        key: randomUUID(),
      });
      receiver.answer(path, (response) => response.writeHead(500, LATER).end());
      await delivered(first);
      await until(async () => (await deliveriesOf(service.db, first))[0]?.pause != null);
      await expireIn(service.db, key, -1);
      await remove(first);
      if (how === 'was deleted') {
        expect(await deliveriesOf(service.db, first)).toMatchObject([
          { status: 'failed', pause: null },
        ]);
        expect(await signing(first)).toBe(0);
      }
      forgetPromises(); // no object is left, so the key is unused
      const second = await make();
      expect(second.id).toBe(first.id);
      expect(await signing(second)).toBe(1);
      receiver.answer(path, (response) => response.end());
      await skipPauses(service.db);
      const received = await delivered(second);
      await drained(service.db);
      expect(receiver.at(path)).toHaveLength(2);
      expect(String(received.headers['webhook-signature']).split(' ')).toHaveLength(1);
      verify(second.secret, received);
    },
  );

  /** How many of its secrets are valid now. */
  async function signing({ id }: TestEndpoint): Promise<number> {
    const { rows } = await service.db.query(
      `SELECT 1 FROM webhook_secrets
       WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > clock_timestamp())`,
      [id],
    );
    return rows.length;
  }
});

describe('after a rotation', () => {
  test('both secrets verify for a day, then the new one only', async () => {
    const endpoint = await newEndpoint(service, receiver);
    const rotated = await send(`${service.apiUrl}/webhook-endpoints/${endpoint.id}/rotate-secret`, {
      method: 'POST',
      key: randomUUID(),
    });
    const secret = String(rotated.body.secret);
    const both = await delivered(endpoint);
    expect(String(both.headers['webhook-signature']).split(' ')).toHaveLength(2);
    verify(endpoint.secret, both);
    verify(secret, both);

    await service.db.query(
      `UPDATE webhook_secrets SET expires_at = expires_at - interval '24 hours' WHERE endpoint_id = $1`,
      [endpoint.id],
    );
    const one = await delivered(endpoint);
    verify(secret, one);
    expect(() => verify(endpoint.secret, one)).toThrow('No matching signature');
    await drained(service.db);
  });

  test.each([
    ['two rotations', 2, 3],
    ['twelve rotations, of which the newest ten secrets sign', 12, 10],
  ])('each secret keeps its day: %s', async (_name, rotations, signatures) => {
    const endpoint = await newEndpoint(service, receiver);
    const secrets = [endpoint.secret];
    for (let i = 0; i < rotations; i++) {
      const { body } = await send(
        `${service.apiUrl}/webhook-endpoints/${endpoint.id}/rotate-secret`,
        { method: 'POST', key: randomUUID() },
      );
      secrets.push(String(body.secret));
    }
    const message = await delivered(endpoint);
    expect(String(message.headers['webhook-signature']).split(' ')).toHaveLength(signatures);
    for (const secret of secrets.slice(-signatures)) verify(secret, message);
    for (const secret of secrets.slice(0, -signatures))
      expect(() => verify(secret, message)).toThrow('No matching signature');
    await drained(service.db);
  });
});
