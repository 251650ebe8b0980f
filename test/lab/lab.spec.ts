import { execFile } from 'node:child_process';
import { request } from 'node:http';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { built } from '../support/build.js';
import { startStack, type Stack } from '../support/stack.js';
import { until } from '../support/until.js';
import { Lab, type LabRun } from './lab.support.js';

let stack: Stack;
let lab: Lab;
let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'charge-once-lab-'));
  // A lease of 4 s, and a job's lock of 6: what waits for their end takes less of the tests' time.
  stack = await startStack({
    dataDir,
    env: { PROCESSOR_TIMEOUT_MS: '2000', JOB_LOCK_SECONDS: '6' },
  });
  lab = new Lab(stack);
  // On a busy machine the first call of a new process takes longer than those 2 s.
  await until(async () => (await lab.run('lost-request')).verdict?.payments.naive === 1);
});
afterAll(async () => {
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** The journal of the stack, as lines. */
async function journal(): Promise<string> {
  const folder = join(dataDir, 'lab');
  const name = (await readdir(folder)).find((each) => each.endsWith('.ndjson'));
  return readFile(join(folder, name ?? ''), 'utf8');
}

async function expectLedger(run: LabRun): Promise<void> {
  expect([run.scenario, run.state, run.verdict?.holds]).toEqual([run.scenario, 'ended', true]);
  expect([run.scenario, run.verdict?.payments]).toEqual([run.scenario, await lab.ledgerOf(run.id)]);
}

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

  it('shows a customer who paid twice without a key, and once with it', async () => {
    const run = await lab.run('lost-answer');
    expect(run.verdict).toEqual({
      sentence: 'Without a key: the customer paid 2 × $19.99. With the key: 1 × $19.99.',
      payments: { naive: 2, keyed: 1 },
      holds: true,
    });
    await expectLedger(run);
    const { curl } = run.events.find(
      ({ kind, track }) => kind === 'request' && track === 'keyed',
    )!.detail!;
    expect(curl).toMatch(/^curl -i http:.*\/charges \\\n[^]*-H 'Idempotency-Key: /);
    const answers = run.events.filter(({ kind }) => ['response', 'replay'].includes(kind));
    expect(answers.filter(({ lost }) => lost)).toHaveLength(2);
    expect(answers.filter(({ kind }) => kind === 'replay')).toHaveLength(1);
    expect(run.knowledge.map(({ state }) => state).sort()).toEqual([
      'ok',
      'ok',
      'unknown',
      'unknown',
    ]);
    await until(async () => {
      const { events } = await lab.run('another-body'); // by now the source maps are read
      const sources = events.map(({ detail }) => detail?.source?.file);
      return sources.includes('src/idempotency/records.ts');
    });
  });

  it('judges every scenario by the processor’s ledger', async () => {
    const { scenarios } = (await (await lab.fetch('/api/catalogue')).json()) as {
      scenarios: { id: string }[];
    };
    const ids = scenarios.map(({ id }) => id);
    // These kill or freeze the API, and are played apart from those that it would break.
    const violent = ['kill', 'freeze', 'worker-killed', 'webhook', 'lost-answer'];
    const quiet = ids.filter((id) => !violent.includes(id));
    expect(quiet).toHaveLength(11);
    for (const run of await Promise.all(quiet.map((id) => lab.run(id)))) await expectLedger(run);
    const races = ['one key, other amounts', 'other keys, one order'];
    for (const each of races) await expectLedger(await lab.run('race', { clicks: 10, with: each }));
  });

  it('loses no event of a killed process, and records its death and the next start', async () => {
    const runs = await Promise.all([
      lab.run('kill', { point: 'after-perform' }),
      lab.run('webhook'),
      lab.run('worker-killed'),
    ]);
    for (const run of runs) await expectLedger(run);
    const texts = runs.map(({ events }) => events.map(({ text }) => text));
    expect(texts.flat()).toContain('killed at after-perform, by another run');
    for (const { events, scenario } of runs) {
      const killed = events.findIndex(({ kind }) => kind === 'killed');
      expect([scenario, killed]).toEqual([scenario, expect.any(Number)]);
      expect(events.slice(killed).map(({ kind }) => kind)).toContain('started');
    }
    const text = await journal();
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string; point?: string; pid: number });
    const death = lines.findIndex(
      ({ kind, point }) => kind === 'process' && point === 'after-perform',
    );
    expect(lines[death - 1]).toMatchObject({
      kind: 'point',
      point: 'after-perform',
      pid: lines[death]?.pid,
    });
  });

  it('shows no change of the lease by a transaction that was killed', async () => {
    const { events } = await lab.run('kill', { point: 'settle-written' });
    const texts = events.map(({ text }) => text);
    const begin = texts.indexOf('lease, epoch 1');
    const end = texts.indexOf('killed at settle-written');
    expect(begin).toBeGreaterThanOrEqual(0);
    expect(end).toBeGreaterThan(begin);
    expect(texts.slice(begin, end)).not.toContain('the lease is released');
  });

  it('shows that a sleeper has lost its lease', async () => {
    const run = await lab.run('freeze');
    await expectLedger(run);
    const kinds = run.events.map(({ kind }) => kind);
    expect(kinds.indexOf('resumed')).toBeGreaterThan(kinds.indexOf('frozen'));
    expect(run.events.map(({ text }) => text)).toContain('lease, epoch 2');
  });

  it('breaks the attempts that the user selects', async () => {
    const faults = ['lose-request', 'crash-after-settle', 'send-twice', 'lose-response'];
    const run = await lab.run('custom', {}, faults);
    await expectLedger(run);
    expect(run.events.map(({ text }) => text)).toContain('killed at after-settle');
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

  it('refuses what a page of another site can send', async () => {
    const post = (headers: Record<string, string>) =>
      new Promise<number>((done) => {
        const { hostname, port } = new URL(stack.labUrl);
        const to = { hostname, port, path: '/api/storm', method: 'POST', headers };
        request(to, (response) => done(response.resume().statusCode ?? 0)).end('{"seed":-1}');
      });
    const json = { 'content-type': 'application/json' };
    expect(await post(json)).toBe(400); // the seed: it would have been accepted
    expect(await post({ ...json, host: 'rebound.example' })).toBe(421);
    expect(await post({ 'content-type': 'text/plain' })).toBe(415);
    const preflight = await fetch(`${stack.labUrl}/api/storm`, { method: 'OPTIONS' });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([
      404,
      null,
    ]);
  });

  it('counts what a stopped storm has paid', async () => {
    const reply = await lab.fetch('/api/storm', { seed: 1, purchases: 200 });
    const { id } = (await reply.json()) as { id: string };
    await until(async () => (await lab.get(id)).events.some(({ kind }) => kind === 'response'));
    await lab.fetch(`/api/runs/${id}/stop`, {});
    const run = await lab.ended(id);
    expect(run.verdict?.sentence).toMatch(/^\d+ purchases\. Without a key .* Seed 1\.$/);
    await expectLedger(run);
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

  it('accepts requests of the user’s own client, and loses the answer that the user has armed', async () => {
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

  it('has the stories of the Postman collection under the same names', async () => {
    const file = await readFile('docs/charge-once.postman_collection.json', 'utf8');
    const folders = (JSON.parse(file) as { item: { name: string }[] }).item.map(({ name }) => name);
    const reply = (await (await lab.fetch('/api/catalogue')).json()) as {
      scenarios: { title: string }[];
    };
    const titles = reply.scenarios.map(({ title }) => title);
    expect(titles.filter((title) => folders.includes(title)).sort()).toEqual([
      'Decline',
      'Double click',
      'Key reused',
      'Late retry',
      'Order paid once',
    ]);
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
    const text = await journal();
    expect(text).toMatch(/"secret\\":\\"whsec_\*\*\*/);
    expect(text).toMatch(/"kind":"request"/);
    expect(text).not.toMatch(/(?:sk_test_|whsec_)(?!\*\*\*)|Bearer (?!\$LAB_KEY)/i);
  });
});
