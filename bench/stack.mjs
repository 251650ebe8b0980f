// Shared by the measurements: starting programs, and reading their cost from Linux.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { ensureDemoAccounts } from '../dist/modules/src/accounts/demo-accounts.js';
import { startEmbeddedPostgres } from '../dist/modules/src/local/embedded-postgres.js';
import { migrate } from '../dist/modules/src/database/migrate.js';
import { freePort } from '../dist/modules/src/local/ports.js';
import { signalOnExit } from '../dist/modules/src/local/processes.js';

export const HERE = resolve(import.meta.dirname, '..');
/** The options that `npm start` passes to Node, for itself and its children. */
const { scripts } = JSON.parse(await readFile(join(HERE, 'package.json'), 'utf8'));
const execArgv = scripts.start.match(/--\S+/g);

/** Starts PostgreSQL with default durability and our schema. Returns functions that start programs on it. */
export async function startStack() {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-bench-'));
  await chmod(home, 0o755); // as root, PostgreSQL runs as another user
  const starting = startEmbeddedPostgres({
    dataDir: join(home, 'postgres'),
    database: 'bench',
  });
  const children = [];
  let admin;
  let stopping;
  stopOnSignal(stop);
  const postgres = await starting;
  admin = new pg.Pool({ connectionString: postgres.adminUrl, max: 1 });
  // The end of the server may reach a connection that is being closed.
  admin.on('error', () => undefined);
  await migrate(postgres.url);
  await ensureDemoAccounts(postgres.url);
  return {
    databaseUrl: postgres.url,
    /** Starts a program that listens on PORT (or another variable), and waits until `path` returns 2xx. */
    async start(script, options = {}) {
      const { args = [], nodeArgs = [], env, portName = 'PORT', path = '/health/ready' } = options;
      const port = await freePort('127.0.0.1');
      const child = fork(script, args, {
        cwd: home,
        execArgv: [...execArgv, ...nodeArgs],
        env: {
          PATH: process.env.PATH,
          DATABASE_URL: postgres.url,
          ...env,
          [portName]: String(port),
        },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.push(child);
      endWithUs(child);
      const url = `http://127.0.0.1:${port}`;
      for (let tries = 600; !(await answers(url + path)); tries--) {
        if (tries === 0 || child.exitCode !== null) throw new Error(`${script} does not start`);
        await new Promise((done) => setTimeout(done, 100));
      }
      return { url, pid: child.pid, child };
    },
    /** Ends a program that `start` has started. */
    end,
    /** Creates another database with our schema. @returns its URL. */
    async createDatabase(name) {
      await admin.query(`CREATE DATABASE ${name}`);
      const url = new URL(postgres.url);
      url.pathname = `/${name}`;
      await migrate(url.href);
      await ensureDemoAccounts(url.href);
      return url.href;
    },
    /** Starts the sandbox with its ledger in its own database, so that its backends can be distinguished from ours. */
    async startSandbox() {
      await admin.query('CREATE DATABASE sandbox');
      const url = new URL(postgres.url);
      url.pathname = '/sandbox';
      return this.start(join(HERE, 'dist/src/sandbox/main.js'), {
        env: { SANDBOX_DATABASE_URL: url.href },
        portName: 'SANDBOX_PORT',
        path: '/health/ready',
      });
    },
    /** CPU time of each PostgreSQL process, in ms, by pid, with the sandbox's backends separate. */
    async postgresCpu() {
      const { rows } = await admin.query(
        `SELECT pid FROM pg_stat_activity WHERE datname = 'sandbox'`,
      );
      const backends = new Set(rows.map(({ pid }) => pid));
      const cpu = { ours: new Map(), sandbox: new Map() };
      for (const pid of await childrenOf(postgres.pid))
        cpu[backends.has(pid) ? 'sandbox' : 'ours'].set(pid, await cpuMs(pid));
      return cpu;
    },
    stop,
  };

  /** Safe to call twice: a signal may interrupt the end. */
  function stop() {
    stopping ??= (async () => {
      for (const child of children) await end({ child });
      await admin?.end();
      await (await starting).stop();
      await rm(home, { recursive: true, force: true });
    })();
    return stopping;
  }
}

/** Runs `stop` on SIGINT and SIGTERM, then exits. */
export function stopOnSignal(stop) {
  for (const [name, number] of Object.entries({ SIGINT: 2, SIGTERM: 15 }))
    process.once(name, () => {
      // Requests and statements in progress fail now. They must not end this process before `stop` has ended.
      process.on('uncaughtException', () => undefined);
      void stop().finally(() => process.exit(128 + number));
    });
}

/** Ends a child with this process, even after a kill -9, as PostgreSQL ends. */
export function endWithUs(child) {
  const watchdog = signalOnExit(child.pid, 'INT');
  child.once('exit', () => watchdog.cancel());
}

async function end({ child }) {
  if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit');
}

function answers(url) {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** CPU time between two calls of `postgresCpu`. Omits backends that have ended meanwhile; they were idle before. */
export function cpuBetween(before, after) {
  let ms = 0;
  for (const [pid, end] of after) ms += end - (before.get(pid) ?? 0);
  return ms;
}

/** User and system time of a process, in ms; Linux counts it in 10 ms units. NaN on other systems. */
export async function cpuMs(pid) {
  const fields = await stat(pid);
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory of a process, in MB. NaN without /proc. */
export async function residentMb(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** CPU time of all programs on this machine, in ms. */
export async function machineCpuMs() {
  const text = await readFile('/proc/stat', 'utf8').catch(() => '');
  const [user, nice, system, , , irq, softirq, steal] = text.split('\n')[0].split(/\s+/).slice(1);
  return [user, nice, system, irq, softirq, steal].reduce((sum, n) => sum + Number(n) * 10, 0);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function childrenOf(parent) {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(pids.map(async (pid) => Number((await stat(pid))[1])));
  return pids.map(Number).filter((_pid, i) => parents[i] === parent);
}

/** The fields of /proc/<pid>/stat from the state on; the name before it may contain spaces. */
async function stat(pid) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
