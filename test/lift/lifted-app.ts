import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../../src/local/ports.js';
import { openPool, testDatabaseUrl } from '../support/database.js';
import { untilReady } from '../support/until-ready.js';

const ENGINE = 'src/idempotency';
const MIGRATION = 'migrations/1796083202000-idempotency-records.ts';

/** The page's code blocks that name a file. */
function files(page: string): [path: string, content: string][] {
  return [...page.matchAll(/^```\w+ (\S+)\n([^]*?)^```$/gm)].map(([, path, content]) => [
    path!,
    content!,
  ]);
}

/** The packages of the page's `npm install` lines, without their versions. */
function packages(page: string): string[] {
  const commands = page.replaceAll('\\\n', ' ').matchAll(/^npm install (.+)$/gm);
  const words = [...commands].flatMap(([, list]) => list!.split(/\s+/));
  return words.filter((word) => word[0] !== '-').map((word) => word.replace(/(?<=.)@.*/, ''));
}

/** Follows src/idempotency/README.md in an empty directory, and compiles. */
export async function buildLiftedApp() {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-lift-'));
  const page = await readFile(join(ENGINE, 'README.md'), 'utf8');
  await cp(ENGINE, join(home, ENGINE), { recursive: true });
  await mkdir(join(home, 'migrations'));
  await cp(MIGRATION, join(home, MIGRATION));
  for (const [path, content] of files(page)) await writeFile(join(home, path), content);
  // Only what the page names is there: any other import fails.
  for (const name of packages(page)) {
    const link = join(home, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(resolve('node_modules', name), link);
  }
  const compiler = join(home, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [compiler], { cwd: home }).catch(
    ({ stdout }: { stdout: string }) => {
      throw new Error(`the page does not compile:\n${stdout}`);
    },
  );
  return { home, remove: () => rm(home, { recursive: true, force: true }) };
}

/** An empty database: the application creates its tables itself. */
export async function emptyDatabase() {
  const name = `lift_${randomBytes(5).toString('hex')}`;
  const admin = new pg.Client({ connectionString: testDatabaseUrl('postgres') });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const url = testDatabaseUrl(name);
  const db = openPool(url);
  return {
    url,
    db,
    async drop() {
      await db.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}

export interface LiftedProcess {
  url: string;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Ends the process when the test run is killed. */
const WITH_ITS_PARENT = `data:text/javascript,process.once('disconnect', () => process.exit(1))`;

export async function startLiftedApp(home: string, env: object): Promise<LiftedProcess> {
  const port = await freePort('127.0.0.1');
  const child = spawn(process.execPath, ['--import', WITH_ITS_PARENT, 'dist/src/main.js'], {
    cwd: home,
    env: { PATH: process.env.PATH, PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const death = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  await untilReady(
    child,
    async () => (await fetch(url)).status === 404,
    () => printed,
  );
  return {
    url,
    async kill(signal = 'SIGKILL') {
      child.kill(signal);
      await death;
    },
  };
}

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  body: Record<string, unknown>;
}

export async function sendTo(
  url: string,
  key?: string,
  body?: object,
  headers = {},
): Promise<Reply> {
  const response = await fetch(url, {
    method: body ? 'POST' : 'GET',
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(key !== undefined && { 'idempotency-key': key }),
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

export const isReplay = ({ headers }: Reply) => headers.get('Idempotent-Replayed') === 'true';
