import { randomUUID } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EngineProbe } from '../support/internals.js';
import { startApp, type TestApp } from '../support/app.js';
import { call, CHARGE, post } from '../support/client.js';

/** A connection to PostgreSQL that can be cut, as a network can. */
async function startGate(databaseUrl: string) {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((client) => {
    if (!open) return void client.destroy();
    const upstream = connect(Number(target.port), target.hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy()).on('close', () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };
  return { url: url.href, cut, reopen: () => void (open = true), close: () => server.close() };
}

const CARD = 'pm_card_of_a_customer';
const SECRET = { description: 'a private matter', receipt_email: 'person@example.com' };

describe('without its database the API', () => {
  let gate: Awaited<ReturnType<typeof startGate>>;
  let app: TestApp;
  beforeAll(async () => {
    gate = await startGate(process.env.DATABASE_URL ?? '');
    app = await startApp({ databaseUrl: gate.url });
    expect((await call(app, '/charges')).status).toBe(200);
    gate.cut();
  });
  afterAll(async () => {
    gate.reopen();
    await app.stop();
    gate.close();
  });

  it.each([
    ['GET', '/charges'],
    ['GET', '/charges/ch_none'],
    ['GET', '/idempotency-keys/a'],
    ['GET', '/health/ready'],
    ['POST', '/charges'],
  ])('answers %s %s with database_unavailable', async (method, path) => {
    const body = method === 'POST' ? { ...CHARGE, payment_method: CARD, ...SECRET } : undefined;
    const reply = await call(app, path, { method, body });
    expect(reply).toMatchObject({
      status: 503,
      body: { code: 'database_unavailable', retry: 'same_key' },
    });
    expect(Number(reply.headers.get('Retry-After'))).toBeGreaterThan(0);
    expect(reply.body.request_id).toBe(reply.headers.get('Request-Id'));
    const logged = app.logs.filter((line) => line.includes(reply.body.request_id));
    expect(logged).toHaveLength(1);
  });

  it('is still live, serves its problem pages and answers unknown routes', async () => {
    expect((await call(app, '/health/live')).status).toBe(200);
    expect((await call(app, '/problems/database_unavailable')).status).toBe(200);
    expect((await call(app, '/nowhere')).status).toBe(404);
  });

  it('logs neither API keys nor idempotency keys nor cards nor bodies', async () => {
    const key = `key-${randomUUID()}`;
    await post(app, '/charges', { ...CHARGE, payment_method: CARD, ...SECRET }, { key });
    const log = app.logs.join('\n');
    for (const secret of [app.acme.apiKey, key, CARD, ...Object.values(SECRET)])
      expect(log).not.toContain(secret);
    expect(log).not.toContain(new URL(gate.url).password || 'no password here');
  });

  it('recovers: it charges when the database is back', async () => {
    gate.reopen();
    expect((await post(app, '/charges', CHARGE)).status).toBe(201);
    gate.cut();
  });
});

/** An error of ours in the middle of a request. */
class BrokenProbe extends EngineProbe {
  override reached(): void {
    throw new TypeError('cannot read the secret sauce of /srv/app/sauce.ts');
  }
}

describe('a fault of ours', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ probe: BrokenProbe });
  });
  afterAll(() => app.stop());

  it('is a 500 without details, and a log line with all details except secrets', async () => {
    const key = `key-${randomUUID()}`;
    const body = { ...CHARGE, payment_method: CARD, ...SECRET };
    const reply = await post(app, '/charges', body, { key });
    expect(reply).toMatchObject({
      status: 500,
      body: { code: 'internal_error', retry: 'same_key', type: '/problems/internal_error' },
    });
    expect(Number(reply.headers.get('Retry-After'))).toBeGreaterThan(0);
    expect(reply.text).not.toMatch(/sauce|TypeError|\.ts/);
    const [line = '', ...more] = app.logs.filter((each) => each.includes(reply.body.request_id));
    expect(more).toEqual([]);
    expect(line).toContain('TypeError');
    expect(line).toContain('BrokenProbe.reached'); // the place, instead of a message that may contain anything
    expect(line).not.toContain('secret sauce');
    for (const secret of [app.acme.apiKey, key, CARD, ...Object.values(SECRET)])
      expect(line).not.toContain(secret);
  });
});
