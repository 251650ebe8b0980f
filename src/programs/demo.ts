import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LabClient } from '../lab/program/lab-client.js';
import { textOf } from '../lab/program/text-diagram.js';
import { endWithUsage } from './run-command.js';

// `npm run demo`: plays the README's ninety seconds. It starts all programs on free ports and in a temporary folder,
// and removes everything at its end.

const USAGE = `Usage: npm run demo

Plays a lost answer, a kill and a key that is used twice on a service of its own. Takes no arguments.`;

interface State {
  ready: boolean;
  urls: { api: string; lab: string; sandbox: string };
}

const ACTS: [scenario: string, whatToLookAt: string][] = [
  [
    'lost-answer',
    'One purchase, one lost answer, one retry, in two ways. Look at the calls to the processor: two without a key, one with it.',
  ],
  [
    'kill',
    'The API dies by SIGKILL after the processor has taken the money. Look at what continues: the retry, the worker or the processor’s notification. There is one payment.',
  ],
  [
    'another-body',
    'The key is used for another amount. Look at the 422: nothing is charged, nothing is guessed.',
  ],
];

if (process.argv.length > 2) endWithUsage(USAGE);
const home = mkdtempSync(join(tmpdir(), 'charge-once-demo-'));
chmodSync(home, 0o755); // if this runs as root, PostgreSQL runs as another user
const stack = startStack();
let stopping: Promise<void> | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

try {
  const { urls } = await untilReady();
  const lab = new LabClient(urls.lab);
  let failed = 0;
  for (const [scenario, whatToLookAt] of ACTS) {
    const run = await lab.run(scenario, {});
    console.log(`\n${'='.repeat(100)}\n${whatToLookAt}\n\n${textOf(run)}`);
    if (!run.verdict?.holds) failed += 1;
  }
  console.log(
    `\n${'='.repeat(100)}\nThe processor’s own ledger, which decides: ${urls.sandbox}/ledger`,
  );
  console.log(`The same in a browser, where you can break every step yourself: ${urls.lab}/`);
  if (process.stdin.isTTY) await createInterface(process.stdin).question('\nEnter ends it. ');
  process.exitCode = failed > 0 ? 1 : 0;
} catch (error) {
  if (!stopping) console.error((error as Error).message); // after Ctrl-C, errors are expected
  process.exitCode = 1;
} finally {
  await stop();
}

function startStack(): ChildProcess {
  console.log('Starting PostgreSQL, a processor, a worker, the API and the lab …');
  const { PATH, HOME } = process.env;
  return spawn(
    process.execPath,
    ['--enable-source-maps', fileURLToPath(new URL('local.js', import.meta.url))],
    {
      env: {
        ...{ PATH, HOME, LOG_LEVEL: 'silent', DATA_DIR: join(home, 'data') },
        ...{ PORT: '0', WORKER_PORT: '0', SANDBOX_PORT: '0', LAB_PORT: '0' },
        CHARGE_ONCE_PIDS_FILE: join(home, 'state.json'),
        MAIL_DIR: join(home, 'mail'),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true, // Ctrl-C reaches this process only; `stop` then ends the child
    },
  );
}

async function untilReady(): Promise<State> {
  while (stack.exitCode === null && stack.signalCode === null) {
    const state = read();
    if (state?.ready) return state;
    await delay(100);
  }
  throw new Error('it did not start; the lines above say why');
}

function read(): State | undefined {
  try {
    return JSON.parse(readFileSync(join(home, 'state.json'), 'utf8')) as State;
  } catch {
    return undefined; // not yet
  }
}

function stop(): Promise<void> {
  return (stopping ??= (async () => {
    const ended = stack.exitCode ?? stack.signalCode;
    if (ended === null) {
      stack.kill('SIGTERM');
      await once(stack, 'exit');
    }
    rmSync(home, { recursive: true, force: true });
  })());
}
