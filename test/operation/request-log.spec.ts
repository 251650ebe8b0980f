import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startGate, type Gate } from '../support/gate.js';
import { until } from '../support/until.js';
import {
  charge,
  openSite,
  reserved,
  send,
  startProgram,
  type LogLine,
  type Program,
  type Reply,
  type Site,
} from './operation.support.js';

let site: Site;
let api: Program;
let gate: Gate;
beforeAll(async () => {
  site = await openSite(4_000); // long enough for two other requests to arrive during a slow charge
  gate = await startGate(() => site.sandboxUrl);
  api = await startProgram('api.js', { ...site.env, PROCESSOR_URL: gate.url });
});
afterAll(async () => {
  await api.stop();
  await gate.stop();
  await site.close();
});

/** The line of a request. Checks that there is only one. */
async function lineOf(reply: Reply, program = api): Promise<LogLine> {
  const find = () =>
    program.lines().filter(({ request_id }) => request_id === reply.headers['request-id']);
  await until(async () => find().length > 0);
  expect(find()).toHaveLength(1);
  return find()[0]!;
}

describe('the log', () => {
  it('has one line for each request: account, route, outcome, duration', async () => {
    const reply = await charge(site, api.url, 'log-1');
    expect(await lineOf(reply)).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      program: 'api',
      pid: expect.any(Number),
      context: 'Request',
      msg: 'request',
      request_id: reply.headers['request-id'],
      account: site.accountId,
      operation: 'POST /charges',
      status: 201,
      outcome: 'executed',
      resource: reply.body.id,
      duration_ms: expect.any(Number),
    });
  });

  it('distinguishes a replay, a wait, a reuse, an expiry and a request in progress', async () => {
    const first = charge(site, api.url, 'log-2', { payment_method: 'pm_lab_slow' });
    await reserved(site, 'log-2');
    const body = { payment_method: 'pm_lab_slow' };
    const [inProgress, waited] = await Promise.all([
      charge(site, api.url, 'log-2', body, { headers: { prefer: 'wait=0' } }),
      charge(site, api.url, 'log-2', body, { headers: { prefer: 'wait=30' } }),
    ]);
    const executed = await first;
    const resource = executed.body.id;
    expect(await lineOf(executed)).toMatchObject({ outcome: 'executed', resource });
    expect(await lineOf(waited)).toMatchObject({ outcome: 'waited', status: 201, resource });
    expect(await lineOf(inProgress)).toMatchObject({
      outcome: 'in_progress',
      status: 409,
      code: 'idempotency_request_in_progress',
    });
    expect(await lineOf(await charge(site, api.url, 'log-2', body))).toMatchObject({
      outcome: 'replayed',
      resource,
    });
    const reused = await lineOf(await charge(site, api.url, 'log-2', { amount: 1 }));
    expect(reused).toMatchObject({
      outcome: 'reused',
      status: 422,
      code: 'idempotency_key_reused',
    });

    await site.db.query(
      `UPDATE idempotency_records SET first_seen_at = now() - interval '9 days',
         completed_at = now() - interval '8 days', expires_at = now() - interval '1 day' WHERE key = 'log-2'`,
    );
    expect(await lineOf(await charge(site, api.url, 'log-2', body))).toMatchObject({
      outcome: 'expired',
      status: 409,
      resource,
    });
  });

  it('has the recovery of unfinished requests, by the worker and by a retry', async () => {
    const pending = await charge(site, api.url, 'log-3', { payment_method: 'pm_lab_timeout' });
    expect(await lineOf(pending)).toMatchObject({
      level: 'warn',
      outcome: 'pending',
      status: 504,
      code: 'processor_outcome_unknown',
    });
    const retry = await charge(site, api.url, 'log-3', { payment_method: 'pm_lab_timeout' });
    expect(await lineOf(retry)).toMatchObject({ outcome: 'recovered', status: 201 });

    await charge(site, api.url, 'log-4', { payment_method: 'pm_lab_timeout' });
    const worker = await startProgram('worker.js', site.env);
    const recovery = () => worker.lines().find(({ outcome }) => outcome === 'recovered');
    await until(async () => recovery() !== undefined);
    expect(recovery()).toMatchObject({
      program: 'worker',
      msg: 'recovery',
      account: site.accountId,
      operation: 'POST /charges',
      resource: expect.stringMatching(/^ch_/),
    });
    await worker.stop();
  });

  it('names routes by their templates, and no part of an unknown path', async () => {
    const none = await send(`${api.url}/charges/ch_none`, { apiKey: site.apiKey });
    expect(await lineOf(none)).toMatchObject({ operation: 'GET /charges/{id}', status: 404 });
    const odd = await send(`${api.url}/x/%zz`, { method: 'PURGE' });
    expect(await lineOf(odd)).toMatchObject({ operation: 'OTHER unmatched', code: 'not_found' });
  });

  it('leaves out successful health checks, at the default level', async () => {
    const reply = await send(`${api.url}/health/ready`);
    await lineOf(await send(`${api.url}/charges`)); // a later request, whose line has appeared
    expect(api.output()).not.toContain(String(reply.headers['request-id']));
    expect(api.output()).not.toContain('RoutesResolver');
  });
});

describe('traceparent', () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;

  it('is on every line of its request, and on the call to the processor', async () => {
    const open = gate.close();
    const client = new AbortController();
    const { signal } = client;
    const left = charge(site, api.url, 'trace-1', {}, { headers: { traceparent }, signal });
    await gate.held(1);
    client.abort();
    await expect(left).rejects.toThrow('aborted');
    const lines = () => api.lines().filter(({ trace_id }) => trace_id === traceId);
    await until(async () => lines().length === 1);
    open();
    await until(async () => lines().length === 2);
    expect(lines().map(({ msg }) => msg)).toEqual([
      'request',
      'ended after its client disconnected',
    ]);
    const resource = String(lines()[1]!.resource);
    expect(gate.headersOf(resource)).toMatchObject({ traceparent });
  });

  it.each([
    ['the version that is none', `ff-${traceId}-00f067aa0ba902b7-01`],
    ['zeros in a later version', `01-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['a later version whose flags go on', `01-${traceId}-00f067aa0ba902b7-011`],
    ['a trace id of zeros', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['a parent id of zeros', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['upper case', traceparent.toUpperCase()],
    ['more than its parts', `${traceparent}-x`],
    ['two in one', `${traceparent}, ${traceparent}`],
    ['nothing', ''],
  ])('with %s is ignored', async (what, invalid) => {
    const headers = { traceparent: invalid };
    const reply = await charge(site, api.url, `trace of ${what}`, {}, { headers });
    expect(reply.status).toBe(201);
    expect(await lineOf(reply)).not.toHaveProperty('trace_id');
    expect(gate.headersOf(String(reply.body.id))).not.toHaveProperty('traceparent');
  });
});

describe('a traceparent of a later version', () => {
  const ids = '4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7';

  it.each([
    [`01-${ids}-01`, `00-${ids}-01`],
    [`01-${ids}-fe`, `00-${ids}-00`],
    [`cc-${ids}-03-what-it-adds`, `00-${ids}-01`],
  ])('is read and passed on as version 00: %s', async (later, passedOn) => {
    const reply = await charge(site, api.url, later, {}, { headers: { traceparent: later } });
    expect(await lineOf(reply)).toMatchObject({ trace_id: ids.slice(0, 32) });
    expect(gate.headersOf(String(reply.body.id))).toMatchObject({ traceparent: passedOn });
  });
});
