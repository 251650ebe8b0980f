import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { built } from '../support/build.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { freePort } from '../support/internals.js';
import { untilReady } from '../support/until-ready.js';
import { broken, check, inTurns, type Checked } from './conformance.support.js';

// What the conformance check finds at each wrong design of the lab's gallery. It neither kills nor suspends a process.
// `npm run lab -- matrix` shows the rest.

interface Row {
  design: string;
  fails: string[];
  /** Cases that fail only if two requests overlap, which depends on the machine. */
  may?: string[];
}

const RACES = ['concurrency.pairs', 'concurrency.afterwards'];
const RUNNING = ['concurrency.while-running', 'concurrency.while-running-once'];
const CASES = [
  ...['replay.object', 'replay.same-value', 'fingerprint.value', 'scope.account-own-object'],
  ...['errors.declined-replayed', 'loss.lost-by-server'],
  ...RUNNING,
  ...RACES,
];

const ROWS: Row[] = [
  {
    design: 'no-key',
    fails: [
      ...['replay.object', 'replay.same-value', 'fingerprint.value', 'loss.lost-by-server'],
      ...RUNNING,
      ...RACES,
    ],
    may: ['errors.declined-replayed'],
  },
  {
    design: 'look-then-insert',
    fails: RUNNING,
    may: RACES,
  },
  // An empty list: the design fails only when a process dies or is suspended, or the processor does not answer.
  { design: 'sticky-claim', fails: [] },
  {
    design: 'record-after-answer',
    fails: RUNNING,
    may: [
      ...['replay.object', 'replay.same-value', 'fingerprint.value', 'errors.declined-replayed'],
      ...RACES,
    ],
  },
  { design: 'delete-on-error', fails: [] },
  { design: 'any-error-stored', fails: [] },
  { design: 'key-without-account', fails: ['scope.account-own-object'] },
  { design: 'stringified-fingerprint', fails: ['replay.same-value'] },
  { design: 'one-transaction', fails: ['concurrency.while-running'] }, // it waits, and holds a connection
  {
    design: 'done-before-call',
    fails: RUNNING,
    may: ['concurrency.afterwards'],
  },
  { design: 'random-processor-key', fails: [] },
  { design: 'lease-without-epoch', fails: [] },
  { design: 'ours', fails: [] },
];

const checked = new Map<string, Checked>();
let database: TestDatabase;
let designs: ChildProcess;

beforeAll(async () => {
  database = await freshDatabase();
  const port = await freePort('127.0.0.1');
  designs = fork(built('src/programs/lab-cli.js'), ['designs', '--port', String(port)], {
    env: { PATH: process.env.PATH, DATABASE_URL: database.url, ALLOW_UNSAFE_DATABASE: '1' },
    execArgv: ['--enable-source-maps'],
  });
  const url = `http://127.0.0.1:${port}/designs`;
  await untilReady(designs, async () => (await fetch(`${url}/ours/count`)).ok);
  const shipped = await readFile('src/conformance/profiles/lab-design.json', 'utf8');
  const profile = { ...(JSON.parse(shipped) as object), limits: { requestsPerSecond: 100_000 } };
  const only = CASES.flatMap((id) => ['--only', id]);
  await inTurns(ROWS, 3, async ({ design }) => {
    checked.set(design, await check(profile, `${url}/${design}`, ...only));
  });
}, 300_000); // thirteen runs; for hangs, not for speed
afterAll(async () => {
  if (designs.kill('SIGTERM')) await once(designs, 'exit');
  await database.drop();
});

describe('the conformance check', () => {
  it.each(ROWS)('finds at the design $design what it can see', ({ design, fails, may = [] }) => {
    const found = broken(checked.get(design)!).filter((id) => !may.includes(id));
    expect(found.sort()).toEqual([...fails].sort());
  });
});
