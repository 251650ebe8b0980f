import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startService, type Service } from '../support/service.js';

const COLLECTION = 'docs/charge-once.postman_collection.json';
const collection = JSON.parse(await readFile(COLLECTION, 'utf8')) as {
  info: { schema: string };
  variable: { key: string; value: string }[];
  item: {
    name: string;
    item: { name: string; event: { script: { exec: string[] } }[] }[];
  }[];
};

interface Assertion {
  request: string;
  assertion: string;
  failed: boolean;
}

interface Report {
  code: number | null;
  printed: string;
  /** Each assertion of the scripts, and whether it held. */
  assertions: Assertion[];
  /** The last value of the collection variable `run` in the report; empty if there is none. */
  run: string;
}

interface Run {
  collection?: string;
  folder?: string;
  iterations?: number;
}

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'charge-once-newman-'));
});
afterAll(async () => {
  await rm(home, { recursive: true, force: true });
});

/** Newman as its own process, as `npx newman run` starts it. */
async function newman(service: Service, run: Run = {}): Promise<Report> {
  const { collection: file = COLLECTION, folder, iterations = 1 } = run;
  const report = join(home, 'report.json');
  const child = spawn(process.execPath, [
    ...['node_modules/newman/bin/newman.js', 'run', file, '-n', String(iterations)],
    ...['--env-var', `baseUrl=${service.apiUrl}`, '--env-var', `processor=${service.sandboxUrl}`],
    ...['--reporters', 'cli,json', '--reporter-json-export', report, '--color', 'off'],
    ...(folder === undefined ? [] : ['--folder', folder]),
  ]);
  const [printed, [code]] = await Promise.all([
    text(child.stdout),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  const raw = await readFile(report, 'utf8');
  const { executions } = (JSON.parse(raw) as RawReport).run;
  const assertions = executions.flatMap(({ item, assertions: made = [] }) =>
    made.map(({ assertion, error }) => ({
      request: item.name,
      assertion,
      failed: error !== undefined,
    })),
  );
  return { code, printed, assertions, run: raw.match(/purchase-[0-9a-f]{8}/g)?.at(-1) ?? '' };
}

/** The collection with the variables of its last run, as an app stores it. Newman cannot export them. */
async function withKept(run: string): Promise<string> {
  const kept = structuredClone(collection);
  for (const variable of kept.variable) if (variable.key === 'run') variable.value = run;
  const file = join(home, 'kept.json');
  await writeFile(file, JSON.stringify(kept));
  return file;
}

interface RawReport {
  run: {
    executions: {
      item: { name: string };
      assertions?: { assertion: string; error?: object }[];
    }[];
  };
}

/** Checks that every assertion held, the ledger was read, and the late retry was reported as skipped. */
function expectHeld({ code, printed, assertions }: Report, iterations: number): void {
  expect(assertions.filter(({ failed }) => failed)).toEqual([]);
  if (code !== 0) throw new Error(printed);
  const requests = collection.item.flatMap(({ item }) => item.map(({ name }) => name));
  const sent = new Set(requests.filter((name) => !LATE.includes(name)));
  expect(new Set(assertions.map(({ request }) => request))).toEqual(sent);
  const count = (beginning: string) =>
    assertions.filter(({ assertion }) => assertion.startsWith(beginning)).length;
  expect(count('the processor has')).toBe(11 * iterations);
  expect(count('SKIPPED: the late retry')).toBe(iterations);
}

/** Sent only if keys expire soon. */
const LATE = ['Look the key up until it has expired', 'Retry'];

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

  // Bruno's importer translates line by line: `await` in a function that is not async does not parse, and
  // `pm.variables.get` does not find a variable that was set on the collection.
  test('has scripts that other tools can import', () => {
    const scripts = collection.item
      .flatMap(({ item }) => item)
      .flatMap(({ event }) => event.map(({ script }) => script.exec.join('\n')));
    const used = new Set(scripts.flatMap((each) => each.match(/\bpm\.(?!response)[\w.]+/g) ?? []));
    expect([...used].sort()).toEqual([
      'pm.collectionVariables.get',
      'pm.collectionVariables.set',
      'pm.execution.setNextRequest',
      'pm.execution.skipRequest',
      'pm.expect',
      'pm.sendRequest',
      'pm.test',
      'pm.variables.replaceIn',
    ]);
    expect(scripts.filter((each) => /^.+pm\.sendRequest/m.test(each))).toEqual([]);
  });

  test('passes against the running system, in each iteration and with the variables of the last run', async () => {
    const service = await startService({ env: { PROCESSOR_TIMEOUT_MS: '5000' } });
    try {
      const twice = await newman(service, { iterations: 2 });
      expectHeld(twice, 2);
      expect(twice.run).not.toBe('');
      expectHeld(await newman(service, { collection: await withKept(twice.run) }), 1);
    } finally {
      await service.stop();
    }
  });

  test('shows the late retry when keys expire soon', async () => {
    const service = await startService({ env: { IDEMPOTENCY_TTL_SECONDS: '1' } });
    try {
      const { code, printed, assertions } = await newman(service, { folder: 'Late retry' });
      if (code !== 0) throw new Error(printed);
      expect(assertions.map(({ assertion }) => assertion)).toEqual([
        'the status is 201',
        ...assertions
          .filter(({ assertion }) => assertion === 'the status is 200')
          .map(() => 'the status is 200'),
        'the key has expired, and its charge exists',
        'the status is 409',
        'the problem is idempotency_key_expired, retry no',
        'the problem names the charge that exists',
        'the processor has 1 payment for the charge',
      ]);
    } finally {
      await service.stop();
    }
  });
});
