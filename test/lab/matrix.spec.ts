import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { freePort, type Cell } from '../support/internals.js';
import { built } from '../support/build.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { untilReady } from '../support/until-ready.js';

// Runs every cell of the gallery with the terminal's command against the lab alone: no design needs our API.

const FAULTS = [
  ...['lost-answer', 'double-click', 'kill-before-call', 'kill-after-call', 'frozen'],
  ...['processor-timeout', 'another-amount', 'reordered', 'declined', 'another-account'],
  'slow-processor',
];

/**
 * One character for each fault: `v` like a correct API, 2 charged twice, 0 never charged, ∞ stuck, ≠ a wrong answer.
 * A change here is a change of what the page teaches.
 */
const EXPECTED: Record<string, string> = {
  'no-key': '22v22222≠vv',
  'look-then-insert': 'v2v222vvvvv',
  'sticky-claim': 'vv∞∞∞∞vvvvv',
  'record-after-answer': 'v2v222vvvvv',
  'delete-on-error': 'vv∞∞∞2vvvvv',
  'any-error-stored': 'vv∞∞∞∞vvvvv',
  'key-without-account': 'vvvvvvvvv≠v',
  'stringified-fingerprint': 'vvvvvvv≠vvv',
  'one-transaction': 'vvvv∞vvvvv∞',
  'done-before-call': 'vv0vvvvvvvv',
  'random-processor-key': 'vvv222vvvvv',
  'lease-without-epoch': 'vvv222vvvvv',
  ours: 'vvvvvvvvvvv',
};

const MARKS: Record<Cell['verdict'], string> = {
  'charged once': '1',
  'charged twice': '2',
  'never charged': '0',
  stuck: '∞',
  'wrong answer': '≠',
  refused: '–',
  'not run': '·',
};

let home: string;
let database: TestDatabase;
let lab: ChildProcess;
let url: string;

beforeAll(async () => {
  [home, database] = await Promise.all([
    mkdtemp(join(tmpdir(), 'charge-once-matrix-')),
    freshDatabase(),
  ]);
  const port = await freePort('127.0.0.1');
  url = `http://127.0.0.1:${port}`;
  lab = fork(built('src/programs/lab.js'), {
    cwd: home,
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      ALLOW_UNSAFE_DATABASE: '1', // the tests' cluster is fast because it may lose commits
      LAB: '1',
      LAB_PORT: String(port),
      LAB_JOURNAL: join(home, 'journal.ndjson'),
    },
    execArgv: ['--enable-source-maps'],
  });
  await untilReady(lab, async () => (await fetch(`${url}/health/ready`)).ok);
});
afterAll(async () => {
  if (lab.kill('SIGTERM')) await once(lab, 'exit');
  await database.drop();
  await rm(home, { recursive: true, force: true });
});

/** `npm run lab -- matrix --json` */
async function runMatrix(): Promise<{ code: number; cells: Cell[] }> {
  const terminal = fork(built('src/programs/lab-cli.js'), ['matrix', '--json'], {
    env: { PATH: process.env.PATH, LAB_URL: url },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    execArgv: ['--enable-source-maps'],
  });
  let text = '';
  terminal.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part));
  const [code] = (await once(terminal, 'close')) as [number];
  return { code, cells: JSON.parse(text) as Cell[] };
}

describe('the gallery of designs', () => {
  it('fails where each design is wrong and nowhere else, and ours fails nowhere', async () => {
    const { code, cells } = await runMatrix();
    expect(cells).toHaveLength(Object.keys(EXPECTED).length * FAULTS.length);
    const designs = [...new Set(cells.map(({ design }) => design))];
    const rows = Object.fromEntries(designs.map((design) => [design, rowOf(design, cells)]));
    const because = cells.map((cell) => `${cell.design}/${cell.fault}: ${cell.because}`);
    expect({ rows, because }).toEqual({ rows: EXPECTED, because });
    expect(code).toBe(0);
    await expectMoneyFor(cells);
    await expectRuns(cells);
  });
});

function rowOf(design: string, cells: Cell[]): string {
  const marks = FAULTS.map((fault) => {
    const cell = cells.find((each) => each.design === design && each.fault === fault);
    return cell?.correct ? 'v' : MARKS[cell?.verdict ?? 'not run'];
  });
  return marks.join('');
}

/** The verdict is based on the ledger: two payments or more if charged twice, none if never charged. */
async function expectMoneyFor(cells: Cell[]): Promise<void> {
  const twice = cells.filter(({ verdict }) => verdict === 'charged twice');
  expect(twice.filter(({ payments }) => payments < 2)).toEqual([]);
  const never = cells.filter(({ verdict }) => verdict === 'never charged');
  expect(never.map(({ payments }) => payments)).toEqual(never.map(() => 0));
}

/** Each cell opens as a diagram. */
async function expectRuns(cells: Cell[]): Promise<void> {
  const opened = await Promise.all(
    cells.map(async ({ run, because }) => {
      const reply = await fetch(`${url}/api/runs/${run}`);
      const { events, verdict } = (await reply.json()) as { events: object[]; verdict: object };
      return { status: reply.status, isEmpty: events.length === 0, verdict, because };
    }),
  );
  expect(opened).toEqual(
    cells.map(({ because }) => ({
      ...{ status: 200, isEmpty: false, because },
      verdict: expect.objectContaining({ sentence: because }),
    })),
  );
}
