import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { until } from '../support/until.js';
import {
  charge,
  openSite,
  payments,
  reserved,
  send,
  startProgram,
  states,
  type Site,
} from './operation.support.js';

const SLOW = { payment_method: 'pm_lab_slow' };
let site: Site;
beforeAll(async () => {
  site = await openSite(4_000); // a slow charge still runs when the process has been told to stop
});
afterAll(() => site.close());

describe('an API process that is told to stop in the middle of a charge', () => {
  it('answers it, leaves nothing unfinished, and exits with 0 although idle connections are open', async () => {
    const api = await startProgram('main.js', site.env);
    const idle = connect(api.port, '127.0.0.1');
    await once(idle, 'connect');
    const agent = new Agent({ keepAlive: true });
    await send(`${api.url}/health/live`, { agent });

    const answer = charge(site, api.url, 'stopped-1', SLOW, { agent });
    await reserved(site, 'stopped-1');
    const exit = api.stop();
    expect(await answer).toMatchObject({
      status: 201,
      headers: { connection: 'close' }, // the client's next request goes elsewhere
      body: { status: 'succeeded' },
    });
    expect(await exit).toBe(0);
    expect(await states(site, 'stopped-1')).toEqual(['completed']);
    idle.destroy();
    agent.destroy();
  });

  it('finishes it although the client has hung up', async () => {
    const api = await startProgram('main.js', site.env);
    const hangUp = new AbortController();
    const answer = charge(site, api.url, 'hung-up-1', SLOW, { signal: hangUp.signal });
    await reserved(site, 'hung-up-1');
    hangUp.abort();
    await expect(answer).rejects.toThrow();
    expect(await api.stop()).toBe(0);
    expect(await states(site, 'hung-up-1')).toEqual(['completed']);
    expect(api.lines()).toContainEqual(
      expect.objectContaining({ msg: 'ended without its client', outcome: 'executed' }),
    );
  });

  it('lets a waiting duplicate go with 409', async () => {
    const api = await startProgram('main.js', site.env);
    const first = charge(site, api.url, 'waited-1', SLOW);
    await reserved(site, 'waited-1');
    const second = charge(site, api.url, 'waited-1', SLOW, { headers: { prefer: 'wait=30' } });
    await until(async () => (await openRequests(api.url)) >= 3);
    const exit = api.stop();
    expect(await second).toMatchObject({
      status: 409,
      body: { code: 'idempotency_request_in_progress', retry: 'same_key' },
    });
    expect((await first).status).toBe(201);
    expect(await exit).toBe(0);
  });

  it('says that it is not ready before it closes its door', async () => {
    const api = await startProgram('main.js', { ...site.env, DRAIN_DELAY_MS: '6000' });
    expect((await send(`${api.url}/health/ready`)).status).toBe(200);
    const exit = api.stop();
    await until(async () => (await send(`${api.url}/health/ready`)).status === 503);
    const ready = await send(`${api.url}/health/ready`);
    expect(ready).toMatchObject({
      status: 503,
      headers: { 'content-type': 'application/problem+json; charset=utf-8', connection: 'close' },
      body: { code: 'not_ready', retry: 'same_key' },
    });
    // Whoever has not noticed yet is still served.
    expect((await charge(site, api.url, 'late-1')).status).toBe(201);
    expect(await exit).toBe(0);
  });

  it('hands over what outlasts its grace period, and another process finishes it', async () => {
    const before = await payments(site);
    const env = { ...site.env, STOP_GRACE_MS: '0', PROCESSOR_TIMEOUT_MS: '1500' };
    const api = await startProgram('main.js', env);
    const answer = charge(site, api.url, 'handed-over-1', SLOW);
    answer.catch(() => undefined);
    await reserved(site, 'handed-over-1');
    expect(await api.stop()).toBe(0);
    await expect(answer).rejects.toThrow();
    expect(await states(site, 'handed-over-1')).toEqual(['in_progress']);

    const worker = await startProgram('worker.js', env);
    await until(async () => (await states(site, 'handed-over-1'))[0] === 'completed');
    expect(await worker.stop()).toBe(0);
    expect(worker.lines()).toContainEqual(
      expect.objectContaining({
        msg: 'recovery',
        outcome: 'recovered',
        operation: 'POST /charges',
      }),
    );
    expect(await payments(site)).toBe(before + 1);
  });
});

/** How many sockets the server holds, the asking one included. */
async function openRequests(url: string): Promise<number> {
  const { text } = await send(`${url}/metrics`);
  return Number(/^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)/m.exec(text)?.[1] ?? 0);
}
