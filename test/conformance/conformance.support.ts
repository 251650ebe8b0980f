import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { built } from '../support/build.js';

export interface CheckedCase {
  id: string;
  level: 'must' | 'should' | 'choice';
  verdict: 'pass' | 'fail' | 'mismatch' | 'skip' | 'not-run';
  detail?: string;
}

export interface Report {
  requests: number;
  peak: number;
  cases: CheckedCase[];
}

export interface Checked {
  exitCode: number;
  output: string;
  report?: Report;
  /** The reports, by file name. */
  files: Record<string, string>;
}

/** A profile of the small server. Each test changes the members that it is about. */
export const SMALL = {
  name: 'small server',
  accounts: [
    { name: 'one', headers: { Authorization: 'Bearer secret-of-one' } },
    { name: 'two', headers: { Authorization: 'Bearer secret-of-two' } },
  ],
  create: {
    path: '/things',
    body: { amount: 12, name: '{{reference}}', note: 'a', tags: ['x', 'y'], more: { shop: 'n' } },
    changes: {
      value: { amount: 13 },
      text: { note: 'b' },
      added: { extra: true },
      removed: { note: null },
      nested: { more: { shop: 's' } },
      order: { tags: ['y', 'x'] },
    },
    invalid: { amount: -1 },
    declined: { card: 'declined' },
    breaksOff: { card: 'breaks' },
    loseAnswer: { 'X-Lose-Answer': '1' },
  } as Record<string, unknown>,
  other: { path: '/others', body: { amount: 1 } },
  count: { path: '/things', items: '$.data', reference: '$.name' },
  promises: {
    keyMaxLength: 64,
    onConcurrent: 'wait',
    onOtherOperation: 'independent',
    replayHeader: { name: 'Idempotent-Replayed', value: 'true' },
    errorFormat: 'problem+json',
  } as Record<string, unknown>,
  timing: { recoverySeconds: 1, laterSeconds: 0, requestSeconds: 20 },
  limits: { requestsPerSecond: 100_000 },
};

/** For hangs, not for speed. */
const HANGS_MS = 280_000;

/** Runs the program, as a user would, with reports of all kinds. */
export async function check(profile: object, url: string, ...args: string[]): Promise<Checked> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  try {
    const file = join(folder, 'profile.json');
    await writeFile(file, JSON.stringify(profile));
    const kinds = {
      json: 'report.json',
      junit: 'report.xml',
      html: 'report.html',
      markdown: 'report.md',
    };
    const reports = Object.entries(kinds).flatMap(([kind, name]) => [
      `--${kind}`,
      join(folder, name),
    ]);
    const done = await program(['--profile', file, '--url', url, ...reports, ...args]);
    const files: Record<string, string> = {};
    for (const name of Object.values(kinds))
      files[name] = await readFile(join(folder, name), 'utf8').catch(() => '');
    const json = files['report.json'];
    return { ...done, files, report: json ? (JSON.parse(json) as Report) : undefined };
  } finally {
    await rm(folder, { recursive: true });
  }
}

export function program(
  args: string[],
  env: Record<string, string> = {},
  file = built('src/conformance/main.js'),
): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve) => {
    const options = {
      env: { PATH: process.env.PATH, ...env },
      maxBuffer: 2 ** 26,
      timeout: HANGS_MS,
    };
    execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) =>
      resolve({ exitCode: error ? Number(error.code ?? NaN) : 0, output: stdout + stderr }),
    );
  });
}

/** The cases that ran and did not pass. */
export function broken({ report, output }: Checked): string[] {
  if (!report) throw new Error(`there is no report: ${output}`);
  return report.cases
    .filter(({ verdict }) => verdict === 'fail' || verdict === 'mismatch')
    .map(({ id }) => id);
}

/** Runs at most `atOnce` items in parallel. More would slow each other down. */
export async function inTurns<T, R>(
  items: T[],
  atOnce: number,
  run: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const i = next;
      next += 1;
      results[i] = await run(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}
