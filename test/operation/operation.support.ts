import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request, type Agent, type IncomingHttpHeaders } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import type pg from 'pg';
import { addApiKey, createAccount } from '../../src/accounts/new-account.js';
import { freePort } from '../../src/local/ports.js';
import { startSandbox } from '../../src/sandbox/sandbox.server.js';
import { built } from '../support/build.js';
import { freshDatabase, openPool } from '../support/database.js';
import { openDatabase } from '../support/open-database.js';
import { until } from '../support/until.js';
import { untilReady } from '../support/until-ready.js';

/** One of the project's programs as a real process. */
export interface Program {
  url: string;
  port: number;
  /** Its output so far. */
  output(): string;
  /** The JSON lines of the output. */
  lines(): LogLine[];
  /** Sends a signal and resolves with the exit code, or with the name of the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
  exit: Promise<number | string>;
}

export type LogLine = Record<string, unknown> & { level: string; msg?: string };

/** Runs a program that does not listen, to its end. */
export async function runToEnd(script: string, env: Record<string, string>, args: string[] = []) {
  const program = start(script, env, args);
  return { exit: await program.exit, output: program.output() };
}

/** Starts `src/<script>` of the build and waits until it is ready. */
export async function startProgram(
  script: 'api.js' | 'worker.js',
  env: Record<string, string>,
): Promise<Program> {
  const port = await freePort();
  const { child, ...program } = start(script, {
    ...env,
    PORT: String(port),
    WORKER_PORT: String(port),
  });
  const url = `http://127.0.0.1:${port}`;
  const isLive = async () => (await send(`${url}/health/live`)).status === 200;
  await untilReady(child, isLive, program.output);
  return { ...program, url, port };
}

function start(script: string, env: Record<string, string>, args: string[] = []) {
  const child = spawn(process.execPath, [built(`src/programs/${script}`), ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exit = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    return exit;
  };
  return { child, output: () => output, lines: () => logLines(output), stop, exit };
}

export function logLines(output: string): LogLine[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);
}

export interface Site {
  databaseUrl: string;
  sandboxUrl: string;
  db: pg.Pool;
  accountId: string;
  apiKey: string;
  /** The environment of programs that use this database and this processor. */
  env: Record<string, string>;
  close(): Promise<void>;
}

/** A database, a processor and an account. The test starts the programs. */
export async function openSite(slowMs = 1_000): Promise<Site> {
  const database = await freshDatabase();
  const sandbox = await startSandbox({ databaseUrl: database.url, slowMs });
  const db = openPool(database.url);
  const { accountId, apiKey } = await makeAccount(database.url);
  return {
    databaseUrl: database.url,
    sandboxUrl: sandbox.url,
    db,
    accountId,
    apiKey,
    env: {
      DATABASE_URL: database.url,
      PROCESSOR_URL: sandbox.url,
      ALLOW_UNSAFE_DATABASE: '1',
      PROCESSOR_TIMEOUT_MS: String(slowMs + 4_000), // a slow charge is answered, even on a busy machine
    },
    async close() {
      await sandbox.close();
      await db.end();
      await database.drop();
    },
  };
}

async function makeAccount(url: string) {
  const { db, close } = await openDatabase(url, 1);
  const accountId = await createAccount(db, 'Operated');
  const apiKey = await addApiKey(db, accountId);
  await close();
  return { accountId, apiKey };
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  body: Record<string, unknown>;
}

export interface Send {
  method?: string;
  apiKey?: string;
  key?: string;
  headers?: Record<string, string>;
  body?: unknown;
  agent?: Agent;
  signal?: AbortSignal;
}

/** Sends one request, on its own connection unless an agent is given. */
export async function send(url: string, options: Send = {}): Promise<Reply> {
  const { apiKey, key, body, agent = false, signal } = options;
  return new Promise((done, fail) => {
    const sent = request(url, {
      method: options.method ?? (body === undefined ? 'GET' : 'POST'),
      agent,
      signal,
      headers: {
        ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
    });
    sent.on('error', fail);
    sent.on('response', (response) => {
      readText(response).then((text) => {
        const json = /json/.test(response.headers['content-type'] ?? '');
        done({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          body: json ? (JSON.parse(text) as Reply['body']) : {},
        });
      }, fail);
    });
    sent.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body));
  });
}

export function charge(
  site: Pick<Site, 'apiKey'>,
  url: string,
  key: string,
  changes: Record<string, unknown> = {},
  options: Send = {},
): Promise<Reply> {
  const body = { amount: 1200, currency: 'eur', payment_method: 'pm_card_visa', ...changes };
  return send(`${url}/charges`, { apiKey: site.apiKey, key, body, ...options });
}

/** Resolves when the key's record exists: the charge is reserved and in flight. */
export async function reserved(site: Site, key: string): Promise<void> {
  await until(async () => (await states(site, key)).length === 1);
}

export async function states(site: Site, key: string): Promise<string[]> {
  const { rows } = await site.db.query<{ state: string }>(
    'SELECT state FROM idempotency_records WHERE key = $1',
    [key],
  );
  return rows.map(({ state }) => state);
}

/** The payments in the processor's ledger. */
export async function payments(site: Site): Promise<number> {
  const reply = await send(`${site.sandboxUrl}/v1/payment_intents?limit=100`, {
    apiKey: 'sk_test_auditor',
  });
  return (reply.body.data as { status: string }[]).filter(({ status }) => status === 'succeeded')
    .length;
}
