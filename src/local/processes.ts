import { execFile, spawn } from 'node:child_process';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * The command line of a live process; undefined when there is none. A zombie counts as dead: in a
 * container whose first process reaps nobody it keeps its pid for ever, and a wait for the pid to
 * vanish would never end.
 */
export async function commandLine(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    try {
      // Field 3, behind the name in parentheses, which may itself hold spaces and parentheses.
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

/** Sends a signal; a process that has already gone is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Whether the process was gone within `timeoutMs`. */
export async function waitForDeath(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isAlive(pid)) {
    if (Date.now() > deadline) return false;
    await delay(10);
  }
  return true;
}

/** Resolves when the process is gone; keeps no event loop alive meanwhile. */
export async function untilGone(pid: number): Promise<void> {
  // Polled: a process that is not our child sends us no 'exit' event.
  while (await isAlive(pid)) await delay(200, undefined, { ref: false });
}

/**
 * Whether a process called `name` has `directory` as its working directory. An unreadable entry of
 * that name counts as yes: the callers delete a lock on a no.
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
 * Sends SIGINT to `pid` when this process ends, a kill -9 included: a shell that reads from a pipe
 * whose other end only we hold sees the end of file when the kernel closes it for us. Returns the
 * shell's pid and the way to call it off, which has to be used once `pid` is dead: the number may be
 * given to somebody else.
 */
export function interruptWhenWeDie(pid: number): { pid: number | undefined; cancel(): void } {
  const watchdog = spawn('/bin/sh', ['-c', 'read -r _; kill -INT "$0"', String(pid)], {
    // A group of its own: Ctrl-C in the terminal would kill the watchdog before its work is due.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  watchdog.on('error', () => undefined); // no shell, no watchdog: the next start adopts the orphan
  watchdog.unref();
  (watchdog.stdin as unknown as { unref(): void }).unref();
  return { pid: watchdog.pid, cancel: () => void watchdog.kill('SIGKILL') };
}
