import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { built } from './support/build.js';

interface Violation {
  from: string;
  rule: { name: string; severity: string };
}

/** In its own process, as in `npm run lint`: its configuration is CommonJS, these tests are not. */
function violationsIn(...folders: string[]): Promise<string[]> {
  const program = resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const options = ['--config', '.dependency-cruiser.cjs', '--output-type', 'json'];
  return new Promise((done, fail) => {
    execFile(
      process.execPath,
      [program, ...options, ...folders],
      { maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (stdout === '') return fail(new Error(stderr, { cause: error }));
        const { summary } = JSON.parse(stdout) as { summary: { violations: Violation[] } };
        done(summary.violations.map(({ from, rule }) => `${rule.name}: ${from}`).sort());
      },
    );
  });
}

const FIXTURE = 'test/fixtures/breach';

describe('the import table', () => {
  let all: string[];
  beforeAll(async () => {
    all = await violationsIn('src', 'migrations', FIXTURE);
  });
  const isOfTheFixture = (violation: string) => violation.includes(`: ${FIXTURE}/`);

  it('has no violation in src', () => {
    expect(all.filter((violation) => !isOfTheFixture(violation))).toEqual([]);
  });

  it('finds each breach of the fixture, and nothing else in it', () => {
    const found = all.filter(isOfTheFixture);
    const at = (rule: string, file: string) => `${rule}: ${FIXTURE}/${file}`;
    expect(found).toEqual(
      [
        at('accounts-imports-downward-only', 'accounts/knows-the-charges.ts'),
        at('charges-imports-downward-only', 'charges/knows-the-lab.ts'),
        at('idempotency-imports-downward-only', 'idempotency/knows-http.ts'),
        at('money-imports-downward-only', 'money/knows-http.ts'),
        at('no-cycles', 'accounts/here.ts'),
        at('nothing-imports-the-sandbox', 'http/knows-the-sandbox.ts'),
        at('only-the-app-modules-import-the-lab', 'charges/knows-the-lab.ts'),
        at('http-imports-downward-only', 'http/knows-the-sandbox.ts'),
        at('sandbox-is-independent', 'sandbox/knows-more-of-money.ts'),
        at('sandbox-is-independent', 'sandbox/knows-http.ts'),
      ].sort(),
    );
  });

  it('has its fixture in folders that exist in the source', async () => {
    const folders = await readdir(FIXTURE);
    expect(await readdir('src')).toEqual(expect.arrayContaining(folders));
  });

  it('keeps its fixture out of the build', async () => {
    const files = await readdir(built('.'), { recursive: true });
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => file.includes(join('fixtures', 'breach')))).toEqual([]);
  });
});

describe('the tests', () => {
  it('run programs of their own build, not of `dist`, which `npm start` may replace', async () => {
    const names = await readdir('test', { recursive: true }); // two have their own `dist`, one is run by hand
    const files = names
      .filter((name) => /^(?!lift|build|conformance\/libraries).*\.(ts|mjs)$/.test(name))
      .map((name) => join('test', name));
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    expect(files.filter((_, i) => /dist\/src/.test(texts[i] ?? ''))).toEqual([]);
  });
});

describe('a test outside white-box/', () => {
  it('imports nothing of the source: it uses HTTP and PostgreSQL, as users do', async () => {
    const names = await readdir('test', { recursive: true });
    const files = names
      .filter((name) => name.endsWith('.spec.ts') && !name.startsWith('white-box'))
      .map((name) => join('test', name));
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    const importsSource = /\b(?:from|import\()\s*'(?:\.\.?\/)+(?:src|migrations)\//;
    expect(files.filter((_, i) => importsSource.test(texts[i] ?? ''))).toEqual([]);
  });
});

const PAYMENT_NOUNS =
  /charge(?!-once)|refund|payment|\bpa(?:ys?|ying|id)\b|\bcards?\b|money|processor|stripe/gi;

async function paymentNounsIn(paths: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const text = await readFile(path, 'utf8');
    for (const [noun] of text.matchAll(PAYMENT_NOUNS)) found.push(`${path}: ${noun}`);
  }
  return found;
}

describe('the engine', () => {
  it('contains no payment terms, so it can be reused with its migration', async () => {
    const folder = 'src/idempotency';
    const paths = (await readdir(folder)).map((name) => join(folder, name));
    const migration = 'migrations/1796083202000-idempotency-records.ts';
    expect(await paymentNounsIn([...paths, migration])).toEqual([]);
  });
});

describe('http/, database/ and log/', () => {
  it.each(['http', 'database', 'log'])('src/%s names no payment and no order', async (room) => {
    const folder = join('src', room);
    const names = await readdir(folder, { recursive: true });
    const paths = names.filter((name) => name.endsWith('.ts')).map((name) => join(folder, name));
    expect(paths.length).toBeGreaterThan(2);
    expect(await paymentNounsIn(paths)).toEqual([]);
    const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
    expect(paths.filter((_, i) => /\b(?:an|no|each) order\b|\borders\b/i.test(texts[i]!))).toEqual(
      [],
    );
  });
});

describe('each package', () => {
  // npm 11.6.2, which some releases of Node 24 bring, fails at such a package if the lock file names no host for it.
  it('names its programs, not only their folder', async () => {
    const lock = JSON.parse(await readFile('node_modules/.package-lock.json', 'utf8')) as {
      packages: Record<string, { optional?: boolean }>;
    };
    const unnamed: string[] = [];
    for (const [path, { optional = false }] of Object.entries(lock.packages)) {
      if (optional) continue; // not installed on every machine
      const { bin, directories } = JSON.parse(await readFile(`${path}/package.json`, 'utf8')) as {
        bin?: unknown;
        directories?: { bin?: string };
      };
      if (bin === undefined && directories?.bin !== undefined) unnamed.push(path);
    }
    expect(unnamed).toEqual([]);
  });
});

describe('an UPDATE or DELETE', () => {
  const volatile = /\b(?:UPDATE \w|DELETE FROM)[^`]*(?:clock_timestamp|random|nextval)\(/;

  it.each([
    ['`UPDATE a SET b = clock_timestamp()`', true],
    ['`DELETE FROM a WHERE b <= clock_timestamp()`', true],
    ['`WITH clock AS (SELECT clock_timestamp() AS b) UPDATE a SET b = clock.b FROM clock`', false],
    ['`UPDATE a SET b = now()`', false],
  ])('%s is found: %p', (sql, found) => {
    expect(volatile.test(sql)).toBe(found);
  });

  /** The sandbox has its own ledger, and the lab moves the clock of one database. */
  it('calls no volatile function, because Citus refuses it', async () => {
    const names = await readdir('src', { recursive: true });
    const files = names
      .filter((name) => /^(?!sandbox|lab).*\.ts$/.test(name))
      .map((name) => join('src', name));
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    expect(files.filter((_, i) => volatile.test(texts[i] ?? ''))).toEqual([]);
  });
});
