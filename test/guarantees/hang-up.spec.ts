import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger, paymentsOf } from '../support/books.js';
import { charge, getCharge, lookUp } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';

describe('a client that disconnects', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => expectCleanBooks(service));
  afterAll(() => service.stop());

  test('while the processor works changes nothing: the charge is made and its answer stored', async () => {
    const { apiUrl, sandboxUrl, gate } = service;
    const open = gate.close();
    const hangUp = new AbortController();
    const gone = charge(apiUrl, 'gone', {}, { signal: hangUp.signal });
    await gate.held(1);
    hangUp.abort();
    await expect(gone).rejects.toThrow();
    open();

    // There is no retry and no worker: the request itself continues to its end.
    await until(async () => (await lookUp(apiUrl, 'gone')).body.state === 'completed');
    const retry = await charge(apiUrl, 'gone');
    expect(retry.status).toBe(201);
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect((await getCharge(apiUrl, retry.body.id)).body.status).toBe('succeeded');
    expect(await paymentsOf(sandboxUrl, retry.body.id)).toHaveLength(1);
    expect((await lookUp(apiUrl, 'gone')).body.attempts).toBe(1);
  });

  test('while it waits for another request’s answer does not disturb that request', async () => {
    const { apiUrl, sandboxUrl, gate } = service;
    const open = gate.close();
    const first = charge(apiUrl, 'waiters');
    await gate.held(1);
    const hangUp = new AbortController();
    const gone = [1, 2, 3].map(() => charge(apiUrl, 'waiters', {}, { signal: hangUp.signal }));
    const stays = charge(apiUrl, 'waiters');
    hangUp.abort();
    await Promise.allSettled(gone);
    open();
    expect((await stays).text).toBe((await first).text);
    expect(await paymentsOf(sandboxUrl, (await first).body.id)).toHaveLength(1);
  });

  test('in the middle of its body leaves the key unused', async () => {
    const { apiUrl, sandboxUrl } = service;
    const before = (await ledger(sandboxUrl)).length;
    const { hostname, port } = new URL(apiUrl);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const head =
      'POST /charges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_acme\r\n' +
      'Idempotency-Key: half\r\nContent-Type: application/json\r\nContent-Length: 70\r\n\r\n';
    socket.end(`${head}{"amount":1200,`);
    socket.resume();
    await once(socket, 'close');
    expect((await lookUp(apiUrl, 'half')).status).toBe(404);
    expect(await ledger(sandboxUrl)).toHaveLength(before);
    const whole = await charge(apiUrl, 'half');
    expect(whole.status).toBe(201);
    expect(whole.headers).not.toHaveProperty('idempotent-replayed');
  });
});
