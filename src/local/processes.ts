import { execFile, spawn } from 'node:child_process';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * The command line of a live process; undefined if there is none. A zombie counts as dead: in a container whose init
 * process does not reap, it keeps its pid forever, and waiting for the pid to disappear would never end.
 */
export async function commandLine(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    try {
      // Field 3, after the name in parentheses, which may itself contain spaces and parentheses.
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
      if ('ZX'.includes(stat.slice(stat.lastIndexOf(')') + 2)[0] ?? 'X')) return undefined;
      return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ');
    } catch {
      return undefined;
    }
  }
  try {
    const { stdout } = await run('ps', ['-o', 'stat=,command=', '-p', String(pid)]);
    return stdout.trim().startsWith('Z') ? undefined : stdout.trim();
  } catch {
    return undefined;
  }
}

export async function isAlive(pid: number): Promise<boolean> {
  return (await commandLine(pid)) !== undefined;
}

/** Sends a signal. It is not an error if the process has already ended. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Whether the process ended within `timeoutMs`. */
export async function waitForDeath(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isAlive(pid)) {
    if (Date.now() > deadline) return false;
    await delay(10);
  }
  return true;
}

/**
 * Resolves when the process has ended; keeps no event loop alive meanwhile. Polls, because a process that is not our
 * child sends us no 'exit' event. Only every tenth time it looks for a zombie, which costs more than a signal.
 */
export async function untilGone(pid: number): Promise<void> {
  for (let round = 0; hasPid(pid); round += 1) {
    if (round % 10 === 0 && !(await isAlive(pid))) return;
    await delay(200, undefined, { ref: false });
  }
}

/** Also true for a zombie. */
function hasPid(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * Whether a process called `name` has `directory` as its working directory. An unreadable entry of that name counts
 * as yes, because callers delete a lock if the result is no.
 */
export async function anyProcessIn(directory: string, name: string): Promise<boolean> {
  if (process.platform !== 'linux') {
    const { stdout } = await run('ps', ['-axo', 'comm=']);
    return stdout.split('\n').some((line) => line.endsWith(name));
  }
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (comm.trim() !== name) continue;
    const cwd = await readlink(`/proc/${pid}/cwd`).catch((error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' || error.code === 'ESRCH' ? '' : directory,
    );
    if (cwd === directory) return true;
  }
  return false;
}

/**
 * Sends a signal to `pid` when this process ends, even by kill -9: a shell reads from a pipe whose other end only we
 * hold, and the kernel closes our end. Returns the shell's pid and a function to cancel it. Cancel it once `pid` is
 * dead, because another process may get that number.
 */
export function signalOnExit(
  pid: number,
  name: 'INT' | 'KILL',
): { pid: number | undefined; cancel(): void } {
  const watchdog = spawn('/bin/sh', ['-c', `read -r _; kill -${name} "$0"`, String(pid)], {
    // Its own process group: otherwise Ctrl-C in the terminal would kill the watchdog too early.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  watchdog.on('error', () => undefined); // without a shell there is no watchdog; the next start adopts the server
  watchdog.unref();
  (watchdog.stdin as unknown as { unref(): void }).unref();
  return { pid: watchdog.pid, cancel: () => void watchdog.kill('SIGKILL') };
}
