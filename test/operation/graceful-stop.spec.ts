import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { startGate, type Gate } from '../support/gate.js';
import { endLease } from '../support/time.js';
import { until } from '../support/until.js';
import {
  charge,
  openSite,
  payments,
  send,
  startProgram,
  states,
  type LogLine,
  type Reply,
  type Site,
} from './operation.support.js';

let site: Site;
/** A charge runs until the test opens the gate: it is in flight when the process receives SIGTERM. */
let gate: Gate;
let gated: Record<string, string>;
beforeAll(async () => {
  site = await openSite();
  gate = await startGate(() => site.sandboxUrl);
  gated = { ...site.env, PROCESSOR_URL: gate.url, PROCESSOR_TIMEOUT_MS: '60000' };
});
afterAll(async () => {
  await gate.stop();
  await site.close();
});

describe('an API process that gets SIGTERM in the middle of a charge', () => {
  let idle: Socket;
  let agent: Agent;
  let logged: LogLine[];
  let exit: number | string;
  let answered: Reply;
  let hungUp: Promise<Reply>;
  let waited: [first: Reply, second: Reply];

  /** Everything that may be in flight at a stop, in one process. */
  beforeAll(async () => {
    const api = await startProgram('api.js', gated);
    idle = connect(api.port, '127.0.0.1');
    await once(idle, 'connect');
    agent = new Agent({ keepAlive: true });
    await send(`${api.url}/health/live`, { agent });

    const hangUp = new AbortController();
    const open = gate.close();
    const answer = charge(site, api.url, 'stopped-1', {}, { agent });
    hungUp = charge(site, api.url, 'hung-up-1', {}, { signal: hangUp.signal });
    hungUp.catch(() => undefined);
    const first = charge(site, api.url, 'waited-1');
    await gate.held(3);
    await openSockets(api.url); // opens the connection for the gauges
    const before = await openSockets(api.url);
    const second = charge(site, api.url, 'waited-1', {}, { headers: { prefer: 'wait=30' } });
    await until(async () => (await openSockets(api.url)) > before);
    hangUp.abort();
    const stopped = api.stop();
    const refused = await second; // proof that it is stopping
    open();
    answered = await answer;
    waited = [await first, refused];
    exit = await stopped;
    logged = api.lines();
  });
  afterAll(() => {
    idle.destroy();
    agent.destroy();
  });

  it('answers it, leaves nothing unfinished, and exits with 0 even with open idle connections', async () => {
    expect(answered).toMatchObject({
      status: 201,
      headers: { connection: 'close' }, // the client's next request goes to another process
      body: { status: 'succeeded' },
    });
    expect(exit).toBe(0);
    expect(await states(site, 'stopped-1')).toEqual(['completed']);
  });

  it('finishes it even if the client has disconnected', async () => {
    await expect(hungUp).rejects.toThrow();
    expect(await states(site, 'hung-up-1')).toEqual(['completed']);
    expect(logged).toContainEqual(
      expect.objectContaining({ msg: 'ended after its client disconnected', outcome: 'executed' }),
    );
  });

  it('answers 409 to a waiting duplicate', async () => {
    const [first, second] = waited;
    expect(second).toMatchObject({
      status: 409,
      body: { code: 'idempotency_request_in_progress', retry: 'same_key' },
    });
    expect(first.status).toBe(201);
  });
});

describe('an API process that gets SIGTERM', () => {
  it('reports that it is not ready before it stops listening', async () => {
    const api = await startProgram('api.js', { ...site.env, DRAIN_DELAY_MS: '6000' });
    expect((await send(`${api.url}/health/ready`)).status).toBe(200);
    const exit = api.stop();
    await until(async () => (await send(`${api.url}/health/ready`)).status === 503);
    const ready = await send(`${api.url}/health/ready`);
    expect(ready).toMatchObject({
      status: 503,
      headers: { 'content-type': 'application/problem+json; charset=utf-8', connection: 'close' },
      body: { code: 'not_ready', retry: 'same_key' },
    });
    // Clients that have not noticed yet are still served.
    expect((await charge(site, api.url, 'late-1')).status).toBe(201);
    expect(await exit).toBe(0);
  });

  it('leaves requests that outlast its grace period to another process, which finishes them', async () => {
    const before = await payments(site);
    const api = await startProgram('api.js', { ...gated, STOP_GRACE_MS: '0' });
    const open = gate.close();
    const answer = charge(site, api.url, 'handed-over-1');
    answer.catch(() => undefined);
    await gate.held(1);
    expect(await api.stop()).toBe(0);
    await expect(answer).rejects.toThrow();
    expect(await states(site, 'handed-over-1')).toEqual(['in_progress']);

    await endLease(site.db, 'handed-over-1');
    const worker = await startProgram('worker.js', site.env);
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
    open();
  });
});

/** How many sockets the server has open, including this one. */
async function openSockets(url: string): Promise<number> {
  const { text } = await send(`${url}/metrics`);
  return Number(/^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)/m.exec(text)?.[1] ?? 0);
}
