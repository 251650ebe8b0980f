import { beforeAll, describe, expect, it } from '@jest/globals';
import { broken, check, inTurns, SMALL, type Checked } from './conformance.support.js';
import { SmallServer, type Bug } from './small-server.js';

interface Row {
  bug: Bug;
  fails: string[];
  /** Cases that fail only if two requests overlap, or if a reset overtakes a request. That depends on the machine. */
  may?: string[];
}

const RACES = [
  ...['one-object', 'answers', 'afterwards', 'pairs', 'staggered', 'other-bodies', 'mixed-keys'],
  ...['accounts', 'pipelined'],
].map((name) => `concurrency.${name}`);
const LOSSES = [
  ...['hang-up', 'reset', 'in-answer', 'after-answer', 'half-close', 'twice', 'many', 'later'],
  ...['same-answer', 'other-body', 'declined'],
].map((name) => `loss.${name}`);
const LOST_BY_SERVER = ['loss.lost-by-server', 'loss.lost-by-server-thrice'];

const ROWS: Row[] = [
  {
    bug: 'ignores the key',
    fails: [
      ...['missing', 'missing-makes-nothing', 'missing-says-why', 'empty', 'blank'].map(
        (name) => `header.${name}`,
      ),
      ...['longest', 'too-long', 'two-lines', 'two-lines-once', 'doubled-line'].map(
        (name) => `header.${name}`,
      ),
      ...['name-case', 'space-around', 'string', 'non-ascii'].map((name) => `header.${name}`),
      ...['one-object', 'object', 'bytes', 'marked', 'later', 'ten-times', 'after-others'].map(
        (name) => `replay.${name}`,
      ),
      ...['order', 'whitespace', 'escapes', 'same-value', 'client-headers', 'charset'].map(
        (name) => `replay.${name}`,
      ),
      ...['chunked', 'byte-by-byte', 'continue'].map((name) => `replay.${name}`),
      ...['value', 'text', 'added', 'removed', 'nested', 'order', 'status'].map(
        (name) => `fingerprint.${name}`,
      ),
      ...['fingerprint.first-survives', 'fingerprint.query'],
      ...['scope.account-first-survives', 'scope.operation-first-survives'],
      ...['errors.declined-key', 'errors.problem-missing-key', 'errors.problem-mismatch'],
      'errors.broken-off-once',
      ...RACES,
      ...['concurrency.other-keys-answers', 'concurrency.replays', 'concurrency.kept-connection'],
      ...['loss.in-answer', 'loss.after-answer', 'loss.half-close', 'loss.half-body-open'],
      ...LOST_BY_SERVER,
    ],
    may: LOSSES.filter((id) => id !== 'loss.declined'),
  },
  {
    bug: 'key without account',
    fails: [
      ...['scope.account-own-object', 'scope.account-other-body'],
      ...['concurrency.accounts', 'disclosure.other-account'],
    ],
  },
  {
    bug: 'answers another operation',
    fails: ['scope.operation-answer', 'scope.operation-used-first'],
  },
  { bug: 'stores validation errors', fails: ['errors.invalid-key'] },
  {
    bug: 'ignores the body',
    fails: [
      ...['value', 'text', 'added', 'removed', 'nested', 'order', 'type', 'status'].map(
        (name) => `fingerprint.${name}`,
      ),
      ...['errors.problem-mismatch', 'concurrency.other-bodies'],
    ],
  },
  { bug: 'compares bytes', fails: ['replay.same-value'] },
  { bug: 'looks, works, then writes', fails: [], may: [...RACES, ...LOSSES] },
  {
    bug: 'writes the record after the answer',
    fails: LOST_BY_SERVER,
    may: [...RACES, ...LOSSES],
  },
  { bug: 'a hang-up leaves the key in progress', fails: [], may: LOSSES },
  {
    bug: 'writes the answer again for a replay',
    fails: ['replay.bytes', 'errors.declined-replayed'],
    may: ['loss.same-answer'],
  },
  {
    bug: 'forgets all but the last ten keys',
    fails: ['replay.after-others', 'concurrency.other-keys-answers'],
  },
  { bug: 'lower-cases keys', fails: ['header.value-case'] },
  {
    bug: 'cuts keys',
    fails: ['header.too-long', 'header.too-long-not-cut', 'header.non-ascii'],
  },
  // The empty key is the same key in both cases: the second case sends another body under it, and is refused.
  { bug: 'takes an empty key', fails: ['header.empty-is-not-shared'], may: ['header.empty'] },
  {
    bug: 'does the work again after a failure',
    fails: ['errors.broken-off-once'],
  },
  { bug: 'stores a failure', fails: ['errors.broken-off-answered'] },
  { bug: 'joins two keys', fails: ['header.two-lines', 'header.doubled-line'] },
  {
    bug: 'answers before it knows the caller',
    fails: ['disclosure.no-credentials', 'disclosure.wrong-credentials'],
  },
  { bug: 'shows the first body in a refusal', fails: ['disclosure.mismatch-values'] },
  { bug: 'shows its stack', fails: ['disclosure.internals'] },
];

describe('a small server', () => {
  const checked = new Map<Bug | undefined, Checked>();
  beforeAll(async () => {
    await inTurns([undefined, ...ROWS.map(({ bug }) => bug)], 4, async (bug) => {
      const server = await SmallServer.start(bug);
      checked.set(bug, await check(SMALL, server.url));
      await server.stop();
    });
  }, 900_000); // twenty-one whole runs; for hangs, not for speed

  it('that is correct passes every case', () => {
    const { exitCode } = checked.get(undefined)!;
    expect({ exitCode, broken: broken(checked.get(undefined)!) }).toEqual({
      exitCode: 0,
      broken: [],
    });
  });

  it.each(ROWS)(
    'with a bug ($bug) fails exactly the cases about it',
    ({ bug, fails, may = [] }) => {
      const found = broken(checked.get(bug)!);
      const certain = found.filter((id) => fails.includes(id) || !may.includes(id));
      expect(certain.sort()).toEqual([...fails].sort());
      expect(found.length).toBeGreaterThan(0);
    },
  );

  it.each(ROWS)('with a bug ($bug) ends with 1 if a must failed, else with 0', ({ bug }) => {
    const { exitCode, report } = checked.get(bug)!;
    const musts = report!.cases.filter(
      ({ level, verdict }) => level === 'must' && verdict === 'fail',
    );
    expect(exitCode).toBe(musts.length > 0 ? 1 : 0);
  });
});

describe('a small server whose keys live two seconds', () => {
  const profile = { ...SMALL, promises: { ...SMALL.promises, expirySeconds: 2 } };

  it.each([
    [undefined, []],
    ['a replay extends the key', ['expiry.not-extended']],
  ] as [Bug | undefined, string[]][])('with %s as its bug fails %j', async (bug, fails) => {
    const server = await SmallServer.start(bug, 2000);
    expect(broken(await check(profile, server.url, '--only', 'expiry'))).toEqual(fails);
    await server.stop();
  });
});

describe('a small server that promises to replay a 5xx', () => {
  const profile = { ...SMALL, promises: { ...SMALL.promises, storesServerErrors: true } };

  it.each([
    ['stores a failure', []],
    [undefined, ['errors.broken-off-answered']],
  ] as [Bug | undefined, string[]][])('with %s as its bug fails %j', async (bug, fails) => {
    const server = await SmallServer.start(bug);
    const only = ['once', 'answered'].flatMap((name) => ['--only', `errors.broken-off-${name}`]);
    expect(broken(await check(profile, server.url, ...only))).toEqual(fails);
    await server.stop();
  });
});

describe('a small server with a slow card', () => {
  const create = { ...SMALL.create, slow: { card: 'slow' } };

  it('passes the cases on running requests', async () => {
    const server = await SmallServer.start();
    const slow = ['running', 'running-once', 'running-other-body', 'running-other-key'];
    const only = slow.flatMap((name) => ['--only', `concurrency.while-${name}`]);
    const { report, exitCode } = await check({ ...SMALL, create }, server.url, ...only);
    await server.stop();
    expect(report?.cases.map(({ verdict }) => verdict)).toEqual(slow.map(() => 'pass'));
    expect(exitCode).toBe(0);
  });
});
