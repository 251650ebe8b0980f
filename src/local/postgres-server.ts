import { spawn } from 'node:child_process';
import { closeSync, fchownSync, fstatSync, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './ports.js';
import type { ServerUser } from './postgres-binaries.js';
import { readFrom, readLock, serverEnvironment } from './postgres-data.js';
import { anyProcessIn, commandLine, isAlive, signal, waitForDeath } from './processes.js';

/** Long enough for crash recovery under load. A longer time only delays a clear error. */
const START_TIMEOUT_MS = 60_000;

/**
 * How long the lock of a dead server may block the start. After a kill -9 of the postmaster, its children need a
 * second.
 */
const LOCKED_TIMEOUT_MS = 20_000;

export interface Server {
  pid: number;
  port: number;
  /** The server was already running, started by an earlier run. */
  adopted: boolean;
}

export interface ServerOptions {
  /** Default true. With false, a killed server may lose commits; for tests that do not kill it. */
  durable?: boolean;
  /** Further PostgreSQL settings; they win over ours. */
  extraSettings?: Record<string, string>;
  /** Default: a free port. An adopted server keeps its port. */
  port?: number;
}

/** Starts a server in `dataDir`, or adopts the one that already runs there. */
export async function startOrAdopt(
  binDir: string,
  dataDir: string,
  user: ServerUser,
  options: ServerOptions,
): Promise<Server> {
  const deadline = Date.now() + LOCKED_TIMEOUT_MS;
  for (let backOffMs = 50; ; backOffMs = Math.min(backOffMs * 2, 1_000)) {
    const running = await adoptRunning(dataDir);
    if (running) return running;
    await removeStaleLock(dataDir);
    const started = await start(binDir, dataDir, user, options);
    if (!('said' in started)) return started;
    const { said } = started;
    // Both causes are temporary: another starter or the last children of a crashed server hold the lock, or another
    // program took the port before the server could bind it.
    const mayPass = /postmaster\.pid|shared memory block|Address already in use/.test(said);
    if (!mayPass || Date.now() > deadline) {
      throw new Error(
        `PostgreSQL did not start in ${dataDir}:\n${said.split('\n').slice(-12).join('\n')}`,
      );
    }
    await delay(backOffMs);
  }
}

/** @returns the server, or what it wrote to its log if it did not become ready. */
async function start(
  binDir: string,
  dataDir: string,
  user: ServerUser,
  options: ServerOptions,
): Promise<Server | { said: string }> {
  const log = `${dataDir}.log`;
  const logFd = openSync(log, 'a', 0o600);
  const logFrom = fstatSync(logFd).size;
  if (user.uid !== undefined && user.gid !== undefined) fchownSync(logFd, user.uid, user.gid);
  const port = options.port ?? (await freePort());
  const child = spawn(join(binDir, 'postgres'), serverArguments(dataDir, port, options), {
    ...user,
    env: serverEnvironment(),
    cwd: '/',
    // Its own process group: otherwise Ctrl-C would stop it before the API has drained.
    detached: true,
    // A file, not a pipe: a server that outlives us can still log.
    stdio: ['ignore', logFd, logFd],
  });
  closeSync(logFd);
  child.unref();
  const failed = new Promise<void>((done, fail) => child.on('exit', done).on('error', fail));
  if (child.pid === undefined) await failed; // spawning failed: rejects with the reason
  const pid = child.pid ?? 0;
  if (await becomesReady(dataDir, pid, failed)) return { pid, port, adopted: false };
  await stopServer(pid);
  return { said: readFrom(log, logFrom) };
}

function serverArguments(dataDir: string, port: number, options: ServerOptions): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    timezone: 'UTC',
    // Without DETAIL, which quotes the values of a refused row.
    log_error_verbosity: 'terse',
    // If a client is killed while its statement waits for a lock, its own locks are released this much later; with 0
    // (the default) only when the statement ends.
    client_connection_check_interval: '500ms',
    ...((options.durable ?? true)
      ? {}
      : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...options.extraSettings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', dataDir, '-p', String(port), ...flags];
}

/** A live server in `dataDir`, once it accepts connections; undefined if there is none. */
async function adoptRunning(dataDir: string): Promise<Server | undefined> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const lock = await readLock(dataDir);
    // The pid alone proves nothing: after a reboot, or in a new container, another process may have it.
    if (!lock || !(await commandLine(lock.pid))?.includes(`-D ${dataDir} `)) return undefined;
    if (lock.status === 'ready') return { pid: lock.pid, port: lock.port, adopted: true };
    if (Date.now() > deadline) {
      throw new Error(
        `A PostgreSQL server (pid ${lock.pid}) in ${dataDir} is "${lock.status}" for too long.`,
      );
    }
    await delay(20); // it is starting, or stopping
  }
}

/**
 * PostgreSQL refuses to start if the lock names a live process of the same user, which a recycled pid may be. The
 * lock also guards against children of a crashed server, so it is removed only if there are none.
 */
async function removeStaleLock(dataDir: string): Promise<void> {
  const lock = await readLock(dataDir);
  if (!lock || !(await isAlive(lock.pid))) return;
  if (await anyProcessIn(dataDir, 'postgres')) return;
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
}

async function becomesReady(dataDir: string, pid: number, failed: Promise<void>): Promise<boolean> {
  let over = false;
  void failed.then(() => (over = true));
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!over && Date.now() < deadline) {
    const lock = await readLock(dataDir);
    if (lock?.pid === pid && lock.status === 'ready') return true;
    await delay(10);
  }
  return false;
}

export async function stopServer(pid: number): Promise<void> {
  // SIGINT ends sessions and writes a checkpoint. SIGQUIT leaves that to the recovery at the next start.
  for (const [name, graceMs] of [
    ['SIGINT', 10_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const) {
    signal(pid, name);
    if (await waitForDeath(pid, graceMs)) return;
  }
}
