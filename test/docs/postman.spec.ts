import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from '@jest/globals';
import { startStack } from '../support/stack.js';

const COLLECTION = 'docs/charge-once.postman_collection.json';
const collection = JSON.parse(await readFile(COLLECTION, 'utf8')) as {
  info: { schema: string };
  item: { name: string; item: { name: string }[] }[];
};

interface Report {
  code: number | null;
  printed: string;
  /** What the scripts asserted, and whether it held. */
  assertions: { request: string; assertion: string; failed: boolean }[];
}

/** Newman as a program of its own, as `npx newman run` would. */
async function newman(env: Record<string, string>, folder?: string): Promise<Report> {
  const stack = await startStack({ env });
  const home = await mkdtemp(join(tmpdir(), 'charge-once-newman-'));
  const report = join(home, 'report.json');
  try {
    const run = spawn(process.execPath, [
      ...['node_modules/newman/bin/newman.js', 'run', COLLECTION],
      ...['--env-var', `baseUrl=${stack.apiUrl}`, '--env-var', `processor=${stack.sandboxUrl}`],
      ...['--reporters', 'cli,json', '--reporter-json-export', report, '--color', 'off'],
      ...(folder === undefined ? [] : ['--folder', folder]),
    ]);
    const [printed, [code]] = await Promise.all([
      text(run.stdout),
      once(run, 'exit') as Promise<[number | null]>,
    ]);
    const { executions } = (JSON.parse(await readFile(report, 'utf8')) as RawReport).run;
    const assertions = executions.flatMap(({ item, assertions: made = [] }) =>
      made.map(({ assertion, error }) => ({
        request: item.name,
        assertion,
        failed: error !== undefined,
      })),
    );
    return { code, printed, assertions };
  } finally {
    await rm(home, { recursive: true, force: true });
    await stack.stop();
  }
}

interface RawReport {
  run: {
    executions: {
      item: { name: string };
      assertions?: { assertion: string; error?: object }[];
    }[];
  };
}

describe('the Postman collection', () => {
  test('is of version 2.1 and has a folder for each scenario', () => {
    expect(collection.info.schema).toContain('v2.1.0');
    expect(collection.item.map(({ name }) => name)).toEqual([
      'First charge',
      'Replay',
      'Lost response',
      'Key reused',
      'Decline',
      'Double click',
      'Late retry',
      'Order paid once',
      'Conditional PUT',
      'Refund',
    ]);
  });

  test('holds against the running system', async () => {
    const { code, printed, assertions } = await newman({ PROCESSOR_TIMEOUT_MS: '4000' });
    expect(assertions.filter(({ failed }) => failed)).toEqual([]);
    if (code !== 0) throw new Error(printed);
    // pm.test() in the callback of a request would be lost in silence if the script were cut short.
    const requests = collection.item.flatMap(({ item }) => item);
    expect(new Set(assertions.map(({ request }) => request))).toEqual(
      new Set(requests.map(({ name }) => name)),
    );
    const aboutTheLedger = assertions.filter(({ assertion }) =>
      assertion.startsWith('the processor has'),
    );
    expect(aboutTheLedger.length).toBeGreaterThanOrEqual(11);
  });

  test('shows the late retry when keys expire soon', async () => {
    const { code, printed, assertions } = await newman(
      { IDEMPOTENCY_TTL_SECONDS: '1' },
      'Late retry',
    );
    if (code !== 0) throw new Error(printed);
    expect(assertions.map(({ assertion }) => assertion)).toEqual(
      expect.arrayContaining([
        'the problem is idempotency_key_expired, retry no',
        'the processor has 1 payment(s) for the charge',
      ]),
    );
  });
});
