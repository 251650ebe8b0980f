import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { WHAT_TO_DO } from '../../../src/charges/parked-payment.commands.js';
import { WHAT_TO_DO_ABOUT_REFUNDS } from '../../../src/refunds/parked-refunds.js';
import { startApp, type TestApp } from '../../support/app.js';
import { call, CHARGE } from '../../support/client.js';

const HOME = 'docs/operations';
const page = await readFile(`${HOME}/README.md`, 'utf8');
const rulesText = await readFile(`${HOME}/charge-once.rules.yml`, 'utf8');
const rules = (
  parse(rulesText) as {
    groups: { rules: { alert: string; expr: string; annotations: { description: string } }[] }[];
  }
).groups.flatMap(({ rules: each }) => each);

interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets: { refId: string; expr: string }[];
}
const board = JSON.parse(await readFile(`${HOME}/charge-once.dashboard.json`, 'utf8')) as {
  uid: string;
  schemaVersion: number;
  templating: { list: { name: string; type: string }[] };
  panels: Panel[];
};
const queries = [
  ...rules.map(({ alert, expr }): [string, string] => [alert, expr]),
  ...board.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }): [string, string] => [title, expr]),
  ),
];

let app: TestApp;
let metrics: string;
/** The series of a scrape. A histogram has three for its one name. */
let series: Set<string>;
beforeAll(async () => {
  app = await startApp();
  await call(app, '/charges', { method: 'POST', body: CHARGE, key: randomUUID() });
  metrics = await (await fetch(`${app.url}/metrics`)).text();
  const types = [...metrics.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  series = new Set(
    types.flatMap(([, name = '', type]) =>
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name],
    ),
  );
});
afterAll(() => app.stop());

test.each(queries)('%s queries a series of /metrics: %s', (_title, expr) => {
  const names = expr.match(/\b(?:charge_once|nodejs|process)_\w+/g) ?? [];
  expect(names).not.toEqual([]);
  expect(names.filter((name) => !series.has(name))).toEqual([]);
  const labels = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(', '),
  );
  const ours = labels.filter((label) => label !== 'instance'); // added by Prometheus
  expect(ours.filter((label) => !metrics.includes(`${label}="`))).toEqual([]);
});

test('the alert file has exactly one rule for each alarm in docs/operations/README.md', () => {
  const alarms = [...page.matchAll(/^\| `(charge_once_\w+)`/gm)].map(([, name]) => name);
  const ruled = rules.map(({ expr }) => /charge_once_\w+/.exec(expr)?.[0]);
  expect(alarms).toHaveLength(7);
  expect(rulesText).toMatch(
    /^# Prometheus alert rules for the seven alarms of README\.md beside it\./,
  );
  expect(ruled.sort()).toEqual(alarms.sort());
});

test('explains what each reason of a parked payment means for the customer', () => {
  const { description } = rules.find(
    ({ alert }) => alert === 'ChargeOnceParkedPayments',
  )!.annotations;
  for (const reason of Object.keys({ ...WHAT_TO_DO, ...WHAT_TO_DO_ABOUT_REFUNDS }))
    expect(description).toContain(`\`${reason}\``);
  expect(description).toContain('`owed_refund_failed`: the customer was NOT refunded.');
  expect(description).toContain('`npm run jobs -- resolve <processor reference> <what was done>`');
});

test('Grafana can load the dashboard: unique ids, a selectable data source, no overlap', () => {
  expect(board).toMatchObject({ uid: 'charge-once', schemaVersion: 39 });
  expect(board.templating.list).toMatchObject([{ name: 'datasource', type: 'datasource' }]);
  expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
  const taken = new Set<string>();
  for (const { type, gridPos, targets } of board.panels) {
    expect(['stat', 'timeseries']).toContain(type);
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    const { x, y, w, h } = gridPos;
    expect(x + w).toBeLessThanOrEqual(24);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        const cell = `${column} ${row}`;
        expect(taken.has(cell)).toBe(false);
        taken.add(cell);
      }
    }
  }
});

const promtool = (...args: string[]) => spawnSync('promtool', args, { cwd: HOME });
const installed = promtool('--version').status === 0;
const here = installed ? describe : describe.skip;
here(`promtool${installed ? '' : ' (skipped: it is not installed here)'}`, () => {
  test.each([
    ['check', 'charge-once.rules.yml'],
    ['test', 'charge-once.rules.test.yml'],
  ])('promtool %s rules accepts %s', (command, file) => {
    const { status, stdout, stderr } = promtool(command, 'rules', file);
    expect({ status, output: `${stdout}${stderr}` }).toMatchObject({ status: 0 });
  });

  test('accepts every query of the dashboard', async () => {
    const home = await mkdtemp(join(tmpdir(), 'charge-once-board-'));
    const file = join(home, 'board.yml');
    const records = queries.map(([, expr], index) => ({
      record: `query_${index}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    }));
    await writeFile(file, JSON.stringify({ groups: [{ name: 'board', rules: records }] }));
    const { status, stdout, stderr } = promtool('check', 'rules', file);
    expect({ status, output: `${stdout}${stderr}` }).toMatchObject({ status: 0 });
    await rm(home, { recursive: true });
  });
});
