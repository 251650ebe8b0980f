import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/until.js';
import { type Lab, type LabRun, SECRET, startLab, type StartedLab } from './lab.support.js';

let started: StartedLab;
let lab: Lab;
beforeAll(async () => {
  started = await startLab();
  ({ lab } = started);
});
afterAll(() => started.stop());

async function expectLedger(run: LabRun): Promise<void> {
  expect([run.scenario, run.state, run.verdict?.holds]).toEqual([run.scenario, 'ended', true]);
  expect([run.scenario, run.verdict?.payments]).toEqual([run.scenario, await lab.ledgerOf(run.id)]);
}

describe('the lab', () => {
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
    await lab.untilSourcesAreRead('another-body');
  });

  it('judges every scenario by the processor’s ledger', async () => {
    const ids = (await lab.scenarios()).map(({ id }) => id);
    // These kill or suspend the API, so they are played apart from the scenarios that this would break.
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
    const text = await started.journal();
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

  it('counts what a stopped storm has paid', async () => {
    const reply = await lab.fetch('/api/storm', { seed: 1, purchases: 200 });
    const { id } = (await reply.json()) as { id: string };
    await until(async () => (await lab.get(id)).events.some(({ kind }) => kind === 'response'));
    await lab.fetch(`/api/runs/${id}/stop`, {});
    const run = await lab.ended(id);
    expect(run.verdict?.sentence).toMatch(/^\d+ purchases\. Without a key .* Seed 1\.$/);
    await expectLedger(run);
  });

  it('has the stories of the Postman collection under the same names', async () => {
    const file = await readFile('docs/charge-once.postman_collection.json', 'utf8');
    const folders = (JSON.parse(file) as { item: { name: string }[] }).item.map(({ name }) => name);
    const titles = (await lab.scenarios()).map(({ title }) => title);
    expect(titles.filter((title) => folders.includes(title)).sort()).toEqual([
      'Decline',
      'Double click',
      'Key reused',
      'Late retry',
      'Order paid once',
    ]);
  });

  it('has recorded no secret of all these runs', async () => {
    const text = await started.journal();
    expect(text).toMatch(/"kind":"request"/);
    expect(text).not.toMatch(SECRET);
  });
});
