import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { built } from '../support/build.js';
import type { Stack } from '../support/stack.js';
import { until } from '../support/until.js';
import {
  type Lab,
  OPENED_RUN,
  SECRET,
  startLab,
  type StartedLab,
  structureOf,
} from './lab.support.js';

let started: StartedLab;
let stack: Stack;
let lab: Lab;
beforeAll(async () => {
  started = await startLab();
  ({ stack, lab } = started);
});
afterAll(() => started.stop());

describe('the lab', () => {
  it('is the target of /lab, and serves only its own files', async () => {
    const reply = await fetch(`${stack.apiUrl}/lab`, { redirect: 'manual' });
    expect([reply.status, reply.headers.get('location')]).toEqual([302, `${stack.labUrl}/`]);
    const page = await lab.fetch('/');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;/,
    );
  });

  it('has a page that loads less than 150 KB of script, from itself alone', async () => {
    const script = Buffer.from(await (await lab.fetch('/page.js')).arrayBuffer());
    expect(gzipSync(script).length).toBeLessThan(150_000);
  });

  it.each([
    [{ scenario: 'lost-answers' }, /no scenario/],
    [{ scenario: { toString: 1 } }, /^there is no scenario of type object/],
    [{ scenario: 'custom', faults: ['explode'] }, /^faults has one for each attempt/],
    [{ scenario: 'race', parameters: { clicks: 51 } }, /^clicks is a whole number from 2 to 50/],
    [{ scenario: 'race', parameters: { clicks: [5] } }, /^clicks is a whole number/],
    [{ scenario: 'race', parameters: { click: 2 } }, /^race has no parameter click/],
  ])('refuses %j', async (body, message) => {
    const reply = await lab.fetch('/api/runs', body);
    expect(reply.status).toBe(400);
    expect(await reply.json()).toEqual({ error: expect.stringMatching(message) });
  });

  it('refuses to open a file that is not a run or is too large', async () => {
    const refused = await lab.fetch('/api/opened', { ...OPENED_RUN, events: 'none' });
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { error: 'This is no run of the lab: events is not a list of at most 2000.' },
    ]);
    const large = await lab.fetch('/api/opened', { ...OPENED_RUN, text: 'x'.repeat(5_000_000) });
    expect(large.status).toBe(413);
  });

  it('refuses what a page of another site can send', async () => {
    const post = (headers: Record<string, string>) =>
      new Promise<number>((done) => {
        const { hostname, port } = new URL(stack.labUrl);
        const to = { hostname, port, path: '/api/storm', method: 'POST', headers };
        request(to, (response) => done(response.resume().statusCode ?? 0)).end('{"seed":-1}');
      });
    const json = { 'content-type': 'application/json' };
    expect(await post(json)).toBe(400); // because of the seed: the headers are accepted
    expect(await post({ ...json, host: 'rebound.example' })).toBe(421);
    expect(await post({ 'content-type': 'text/plain' })).toBe(415);
    const preflight = await fetch(`${stack.labUrl}/api/storm`, { method: 'OPTIONS' });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([
      404,
      null,
    ]);
  });

  it('streams a run, and a reader that comes back misses nothing', async () => {
    const id = await lab.begin('lost-request');
    const first = await lab.items(id, 0, 5);
    const rest = await lab.items(id, first.at(-1)?.id);
    const all = [...first, ...rest];
    expect(all.map((item) => item.id)).toEqual(all.map((_, index) => index + 1));
    expect(all.at(-1)).toMatchObject({ event: 'end', data: { state: 'ended' } });
    const { events, knowledge, verdict } = await lab.get(id);
    const of = (kind: string) => all.filter(({ event }) => event === kind).map(({ data }) => data);
    expect(of('event')).toHaveLength(events.length);
    expect([of('knows'), of('verdict')]).toEqual([knowledge, [verdict]]);
    expect(await lab.items(id)).toEqual(all);
    const over = { 'last-event-id': String(all.length) };
    const after = await lab.fetch(`/api/runs/${id}/events`, undefined, over);
    expect(after.status).toBe(204); // a browser does not ask again
  });

  it('accepts requests of the user’s own client, and applies the fault that the user has armed', async () => {
    const opened = (await (await lab.fetch('/api/own-client', {})).json()) as Record<
      'id' | 'curl' | 'arm',
      string
    >;
    const armed = (fault: string) => lab.fetch(opened.arm, { fault });
    expect((await armed('explode')).status).toBe(400);
    expect((await armed('lose-response')).status).toBe(202);
    const curl = () =>
      new Promise<string>((done) =>
        execFile('sh', ['-c', opened.curl], (_error, stdout) => done(stdout)),
      );
    expect(await curl()).toBe('');
    expect(await curl()).toMatch(/^HTTP\/1\.1 201 Created[^]*Idempotent-Replayed: true/);
    await until(async () => (await lab.get(opened.id)).knowledge.length === 2);
    const { knowledge } = await lab.get(opened.id);
    expect(knowledge.map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, 'unknown'],
      [2, 'ok'],
    ]);
    await lab.fetch(`/api/runs/${opened.id}/stop`, {});
    const { verdict } = await lab.ended(opened.id);
    expect(verdict?.sentence).toBe('The customer paid 1 × $19.99.');
  });

  it('keeps the runs of its visitors apart, and resets only those of one visitor', async () => {
    const as = (visitor: string) => ({ 'x-lab-visitor': visitor });
    const begin = async (visitor: string) => {
      const reply = await lab.fetch('/api/runs', { scenario: 'another-body' }, as(visitor));
      return ((await reply.json()) as { id: string }).id;
    };
    const [mine, yours] = [await begin('me'), await begin('you')];
    const seen = async (visitor: string) => {
      const reply = await lab.fetch('/api/runs', undefined, as(visitor));
      return ((await reply.json()) as { runs: { id: string }[] }).runs.map(({ id }) => id);
    };
    expect([await seen('me'), await seen('you')]).toEqual([[mine], [yours]]);
    await Promise.all([mine, yours].map((id) => lab.ended(id)));
    expect((await lab.fetch('/api/reset', {}, as('me'))).status).toBe(200);
    expect([await seen('me'), await seen('you')]).toEqual([[], [yours]]);
    expect((await lab.fetch(`/api/runs/${mine}`)).status).toBe(404);
  });

  it('exports a run', async () => {
    const { id } = await lab.run('lost-request');
    const diagram = await (await lab.fetch(`/runs/${id}.mmd`)).text();
    expect(diagram).toMatch(/^sequenceDiagram\n {4}title The lost request, keyed\n/);
    expect(diagram).toMatch(/^ {4}client-xapi: POST \/charges/m);
    expect(await (await lab.fetch(`/runs/${id}.json`)).json()).toMatchObject({
      id,
      state: 'ended',
    });
    expect((await lab.fetch('/runs/0123456789ab.json')).status).toBe(404);
  });

  it('exports the picture that the README shows', async () => {
    const { id } = await lab.lostAnswer();
    const picture = await readFile('docs/lost-answer.svg', 'utf8');
    const svg = await (await lab.fetch(`/runs/${id}.svg`)).text();
    expect(structureOf(picture)).toEqual(structureOf(svg));
  });

  it('plays in a terminal, and ends with 1 when it cannot', async () => {
    const terminal = (url: string, ...args: string[]) =>
      new Promise<{ code: unknown; text: string }>((done) =>
        execFile(
          process.execPath,
          [built('src/programs/lab-cli.js'), ...args],
          { env: { ...process.env, LAB_URL: url } },
          (error, stdout, stderr) => done({ code: error?.code ?? 0, text: stdout + stderr }),
        ),
      );
    const played = await terminal(stack.labUrl, 'run', 'two-tabs');
    expect(played).toEqual({
      code: 0,
      text: expect.stringMatching(/^Order paid once\n\nWithout a key\n/),
    });
    expect(played.text).toMatch(/^With the key: 1 × 201, 1 × 409 /m);
    expect(Math.max(...played.text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(
      100,
    );
    expect(await terminal(stack.labUrl, 'list')).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^lost-answer /),
    });
    expect((await terminal(stack.labUrl, 'run', 'nothing')).code).toBe(1);
    expect((await terminal('http://127.0.0.1:1', 'list')).text).toMatch(
      /^No lab answers at .* `npm start`/,
    );
    expect((await terminal(stack.labUrl)).code).toBe(64);
  });

  it('records no secret', async () => {
    const endpoint = { url: 'http://127.0.0.1:1/', events: ['charge.succeeded'] };
    const { id, curl } = (await (await lab.fetch('/api/own-client', {})).json()) as Record<
      string,
      string
    >;
    const apiKey = /Bearer (\S+?)'/.exec(curl ?? '')?.[1];
    const made = await fetch(`${stack.apiUrl}/webhook-endpoints`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${apiKey}`,
        'idempotency-key': 'endpoint-1',
        'content-type': 'application/json',
      },
      body: JSON.stringify(endpoint),
    });
    expect(await made.text()).toMatch(/"secret":"whsec_/);
    await until(async () => (await lab.get(id ?? '')).events.length > 0);
    const text = await started.journal();
    expect(text).toMatch(/"secret\\":\\"whsec_\*\*\*/);
    expect(text).toMatch(/"kind":"request"/);
    expect(text).not.toMatch(SECRET);
  });
});
