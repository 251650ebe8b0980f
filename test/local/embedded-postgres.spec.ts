import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import {
  isAlive,
  startEmbeddedPostgres,
  waitForDeath,
  type EmbeddedPostgres,
} from '../support/internals.js';
import { builtModule } from '../support/build.js';
import { copyCluster } from '../support/database.js';
import { PATIENCE_MS, until } from '../support/until.js';

const asRoot = process.getuid?.() === 0 ? it : it.skip;
const onLinux = process.platform === 'linux' ? it : it.skip;

let home: string;
let started: EmbeddedPostgres[];
let children: ChildProcess[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'charge-once-postgres-'));
  await chmod(home, 0o755); // mkdtemp makes it 0700, and under root, the server runs as another user
  started = [];
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(started.map((server) => server.stop()));
  await rm(home, { recursive: true, force: true });
});

async function start(dataDir = join(home, 'postgres')): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, database: 'app' });
  started.push(server);
  return server;
}

async function query(server: EmbeddedPostgres, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** A separate process that starts the server; resolves with the server's pid. */
async function startElsewhere(): Promise<{ starter: ChildProcess; pid: number }> {
  const module = builtModule('src/local/embedded-postgres.js');
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(module)};
    const dataDir = ${JSON.stringify(join(home, 'postgres'))};
    const server = await startEmbeddedPostgres({ dataDir, database: 'app' });
    console.log(server.pid);
    setInterval(() => undefined, 1000);`;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(starter);
  const [line] = (await once(starter.stdout, 'data')) as [Buffer];
  return { starter, pid: Number(line) };
}

/** The pids of the shells that stop the server when its starter dies. */
async function watchdogsOf(pid: number): Promise<number[]> {
  const found: number[] = [];
  for (const entry of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (command.includes('kill -INT') && command.endsWith(`\0${pid}\0`)) found.push(Number(entry));
  }
  return found;
}

describe('the embedded PostgreSQL, without data,', () => {
  it('is one server for three concurrent starts: UTF-8, loopback only, durable, with a password', async () => {
    const servers = await Promise.all([start(), start(), start()]);
    expect(new Set(servers.map((server) => server.pid)).size).toBe(1);
    expect(servers.filter((server) => !server.adopted)).toHaveLength(1);
    expect(await readdir(home)).toEqual(['postgres', 'postgres.log']);
    const server = servers[0];
    const settings = await query(
      server,
      `SELECT current_setting('server_encoding') AS encoding,
              current_setting('listen_addresses') AS addresses,
              current_setting('client_connection_check_interval') AS check_interval,
              current_setting('fsync') || current_setting('synchronous_commit') AS durable,
              (SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'app') AS locale`,
    );
    expect(settings).toEqual([
      {
        encoding: 'UTF8',
        addresses: '127.0.0.1',
        check_interval: '500ms',
        durable: 'onon',
        locale: 'bC.UTF-8',
      },
    ]);
    const url = new URL(server.url);
    url.password = 'guessed';
    const stranger = new pg.Client({ connectionString: url.href });
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' });
  });

  it('reports a directory that contains something else', async () => {
    await mkdir(join(home, 'photos'));
    await expect(start(join(home, 'photos'))).rejects.toThrow(
      /photos exists but is not a PostgreSQL cluster/,
    );
  });

  asRoot('moves the data when its own place is closed to the server’s user', async () => {
    await chmod(home, 0o700);
    const first = await start();
    expect(first.dataDir).toMatch(/^\/var\/lib\/charge-once\/\w+\/postgres$/);
    await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();

    const second = await start();
    expect(await query(second, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    await second.stop();

    // The requested path still decides which data is used.
    await rm(join(home, 'postgres'));
    const third = await start();
    expect(third.dataDir).not.toBe(first.dataDir);
    for (const server of [second, third]) {
      await server.stop();
      await rm(dirname(server.dataDir), { recursive: true });
    }
  });
});

describe('the embedded PostgreSQL, with data,', () => {
  beforeEach(() => copyCluster(join(home, 'postgres')));

  it('keeps its data through a kill -9 and between starts, and leaves no process', async () => {
    const killed = await start();
    await query(killed, 'CREATE TABLE kept AS SELECT 42 AS answer');
    process.kill(killed.pid, 'SIGKILL');
    const expectKept = async (server: EmbeddedPostgres, before: EmbeddedPostgres) => {
      expect(server.adopted).toBe(false);
      expect(server.pid).not.toBe(before.pid);
      expect(await query(server, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    };
    const second = await start();
    await expectKept(second, killed);
    await killed.exited;

    await second.stop();
    await second.exited;
    expect(await isAlive(second.pid)).toBe(false);
    expect(await readdir(home)).toEqual(['postgres', 'postgres.log']);
    await expectKept(await start(), second);
  });

  it('stops when the process that started it is killed', async () => {
    const { starter, pid } = await startElsewhere();
    starter.kill('SIGKILL');
    expect(await waitForDeath(pid, PATIENCE_MS)).toBe(true);
  });

  onLinux('adopts a server that an earlier run left behind, and stops it', async () => {
    const { starter, pid } = await startElsewhere();
    for (const watchdog of await watchdogsOf(pid)) process.kill(watchdog, 'SIGKILL');
    starter.kill('SIGKILL');
    await once(starter, 'exit');
    expect(await isAlive(pid)).toBe(true); // the control: an orphan

    const adopter = await start();
    expect(adopter).toMatchObject({ pid, adopted: true });
    expect(await query(adopter, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await adopter.stop();
    expect(await isAlive(pid)).toBe(false);
    await until(async () => (await watchdogsOf(pid)).length === 0); // killed, and gone once it is scheduled
  });

  it('starts even if the lock of a dead server names a pid that another process has now', async () => {
    const first = await start();
    const lock = await readFile(join(first.dataDir, 'postmaster.pid'), 'utf8');
    await first.stop();
    const { uid, gid } = await stat(first.dataDir);
    // The same user: PostgreSQL treats any live process of its own user as a postmaster.
    const other = spawn('sleep', ['600'], { uid, gid });
    children.push(other);
    await once(other, 'spawn');
    await writeFile(join(first.dataDir, 'postmaster.pid'), lock.replace(/^\d+/, String(other.pid)));

    const second = await start();
    expect(second.adopted).toBe(false);
    expect(other.exitCode).toBeNull();
  });

  it('prints the server’s message when it cannot start', async () => {
    const dataDir = join(home, 'postgres');
    const options = { dataDir, database: 'app', extraSettings: { no_such_setting: '1' } };
    await expect(startEmbeddedPostgres(options)).rejects.toThrow(/no_such_setting/);
    expect(await readdir(home)).toEqual(['postgres', 'postgres.log']);
  });
});
