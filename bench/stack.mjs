// What the measurements share: the programs that they start, and what Linux says about the cost of each.

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

export const HERE = resolve(import.meta.dirname, '..');
/** What `npm start` gives to Node, for itself and its children. */
const { scripts } = JSON.parse(await readFile(join(HERE, 'package.json'), 'utf8'));
const execArgv = scripts.start.match(/--\S+/g);

/** PostgreSQL with default durability and our schema, and the means to start programs on it. */
export async function startStack() {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-bench-'));
  await chmod(home, 0o755); // as root, PostgreSQL runs as another user
  const postgres = await startEmbeddedPostgres({
    dataDir: join(home, 'postgres'),
    database: 'bench',
  });
  const children = [];
  const admin = new pg.Pool({ connectionString: postgres.adminUrl, max: 1 });
  // The server's end may reach a connection that is on its way out.
  admin.on('error', () => undefined);
  await migrate(postgres.url);
  await ensureDemoAccounts(postgres.url);
  return {
    databaseUrl: postgres.url,
    /** Starts a program that listens on PORT (or another variable) and waits until `path` answers 2xx. */
    async start(script, options = {}) {
      const { args = [], env, portName = 'PORT', path = '/health/ready' } = options;
      const port = await freePort('127.0.0.1');
      const child = fork(script, args, {
        cwd: home,
        execArgv,
        env: {
          PATH: process.env.PATH,
          DATABASE_URL: postgres.url,
          ...env,
          [portName]: String(port),
        },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.push(child);
      const url = `http://127.0.0.1:${port}`;
      for (let patience = 600; !(await answers(url + path)); patience--) {
        if (patience === 0 || child.exitCode !== null) throw new Error(`${script} does not start`);
        await new Promise((done) => setTimeout(done, 100));
      }
      return { url, pid: child.pid, child };
    },
    /** Ends a program of `start`. */
    end,
    /** Another database with our schema. @returns its URL. */
    async createDatabase(name) {
      await admin.query(`CREATE DATABASE ${name}`);
      const url = new URL(postgres.url);
      url.pathname = `/${name}`;
      await migrate(url.href);
      await ensureDemoAccounts(url.href);
      return url.href;
    },
    /** The sandbox keeps its ledger in a database of its own, so that its backends can be told from ours. */
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
    /** CPU time of each of PostgreSQL's processes, in ms, by pid; the sandbox's backends apart. */
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
    async stop() {
      for (const child of children) await end({ child });
      await admin.end();
      await postgres.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
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

/** Between two calls of `postgresCpu`. A backend that has ended meanwhile was idle before, and is left out. */
export function cpuBetween(before, after) {
  let ms = 0;
  for (const [pid, end] of after) ms += end - (before.get(pid) ?? 0);
  return ms;
}

/** User and system time of a process, in ms; Linux counts it in hundredths of a second. NaN elsewhere. */
export async function cpuMs(pid) {
  const fields = await stat(pid);
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory of a process, in MB. NaN where there is no /proc. */
export async function residentMb(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** CPU time that all programs of this machine have used, in ms. */
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

/** The fields of /proc/<pid>/stat from the state on; the name before may hold blanks. */
async function stat(pid) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
