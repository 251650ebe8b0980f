import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_CONFIGURATION } from '../config.js';

// Keeps one child process running. Proof: test/white-box/local/supervisor.spec.ts.

/** A shorter back-off burns CPU on a child that cannot start; a longer one prolongs a short outage. */
const BACK_OFF_MS = { first: 100, max: 5_000 };

/** Each check costs one request; a longer interval slows every start and restart. */
const READY_POLL_MS = 50;

export interface ChildOptions {
  /** The name in log lines. */
  name: string;
  /** Path of the JavaScript module to run. */
  script: string;
  env: NodeJS.ProcessEnv;
  /**
   * Sent to the child as a message, on top of `env`, once known. Meanwhile the child loads its code, which is most of
   * its start, and then waits for them. Its argument `env-by-message` says that it must wait.
   */
  laterEnv?: Promise<NodeJS.ProcessEnv>;
  /**
   * Keeps a second process with its code loaded, which takes over when the child dies: loading is two thirds of a
   * start, and takes seconds on a loaded machine. Needs `laterEnv`; costs the memory of an idle process. The first
   * standby loads this long after the first start is ready, when the first requests are answered; later ones load at
   * once. Undefined: no standby.
   */
  standbyAfterMs?: number;
  /** Called repeatedly after each start until it returns true. Must return within about a second. */
  isReady: () => Promise<boolean>;
  /** Called with the pid after each start. */
  onStart?: (pid: number) => void;
  /** Called after each start when the child is ready. */
  onReady?: (pid: number) => void;
  /** Called at each end, with a description of it. */
  onEnd?: (pid: number, end: string) => void;
  log: (line: string) => void;
  /** A file descriptor for what the child prints. Default: where this process prints. */
  output?: number;
}

/** The child ended with EX_CONFIG before it was ready; it has printed the reason itself. */
export class ChildRefusesConfiguration extends Error {}

/** The child was stopped before it was ready. */
export class ChildStopped extends Error {}

export interface SupervisedChild {
  /**
   * Resolves when the child is ready for the first time. Rejects with ChildRefusesConfiguration or ChildStopped;
   * other failures are retried.
   */
  ready: Promise<void>;
  /** The pid of the current process; undefined between two. */
  pid: () => number | undefined;
  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when the child has ended; it is not restarted. */
  stop: (graceMs: number) => Promise<void>;
  /** SIGKILL now, if the stop takes too long. */
  kill: () => void;
}

/**
 * Starts a child and restarts it whenever it dies: at once if it had been ready, otherwise with back-off. (The lab's
 * faults kill the API many times a minute, and it must be back before clients stop retrying.)
 */
export function supervise(options: ChildOptions): SupervisedChild {
  let child: ChildProcess | undefined;
  let standby: Launched | undefined;
  const prepareStandby = () => {
    if (standby || stopping.signal.aborted) return;
    const prepared = (standby = load(options));
    void prepared.ended.then((end) => {
      if (standby !== prepared) return; // it has become the child
      standby = undefined;
      options.log(`${options.name}'s standby ended with ${end}; the next start loads its code`);
    });
  };
  const standbyWhenDue = (isFirst: boolean) => {
    const { standbyAfterMs } = options;
    if (standbyAfterMs === undefined) return;
    if (isFirst) setTimeout(prepareStandby, standbyAfterMs).unref();
    else prepareStandby();
  };
  const takeStandby = () => {
    const prepared = standby;
    standby = undefined;
    return prepared;
  };
  const stopping = new AbortController();
  let announceReady!: () => void;
  let announceFailure!: (reason: Error) => void;
  const ready = new Promise<void>((resolve, reject) => {
    announceReady = resolve;
    announceFailure = reject;
  });
  ready.catch(() => undefined); // a caller that stops early may never await it

  const finished = (async () => {
    let everReady = false;
    let backOffMs = BACK_OFF_MS.first;
    while (!stopping.signal.aborted) {
      const launched = takeStandby() ?? load(options);
      child = launched.process;
      if (child) activate(child, options);
      const over = new AbortController();
      const readiness = untilReady(options.isReady, over.signal).then((isReady) => {
        if (isReady) {
          announceReady();
          if (child?.pid !== undefined) options.onReady?.(child.pid);
          standbyWhenDue(!everReady);
          everReady = true;
        }
        return isReady;
      });
      const end = await launched.ended;
      const pid = child?.pid;
      child = undefined;
      if (pid !== undefined) options.onEnd?.(pid, end);
      over.abort();
      const wasReady = await readiness;
      if (stopping.signal.aborted) break;
      if (end === `code ${EXIT_CONFIGURATION}` && !everReady) {
        return announceFailure(new ChildRefusesConfiguration(options.name));
      }
      const ended = `${options.name} (pid ${pid}) ended with ${end}`;
      if (wasReady) {
        options.log(`${ended}; starting it again`);
        backOffMs = BACK_OFF_MS.first;
        continue;
      }
      options.log(`${ended}; starting it again in ${backOffMs / 1000} s`);
      await delay(backOffMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      backOffMs = Math.min(backOffMs * 2, BACK_OFF_MS.max);
    }
    announceFailure(new ChildStopped(options.name));
  })();

  return {
    ready,
    pid: () => child?.pid,
    kill: () => void child?.kill('SIGKILL'),
    async stop(graceMs) {
      stopping.abort();
      takeStandby()?.process?.kill('SIGKILL'); // it has not started any work
      child?.kill('SIGTERM');
      const killer = setTimeout(() => {
        options.log(`${options.name} did not stop within ${graceMs / 1000} s and is killed`);
        child?.kill('SIGKILL');
      }, graceMs);
      await finished;
      clearTimeout(killer);
    },
  };
}

/**
 * Loaded into each child before its own code: until the program has its own handler, it ends when the channel to us
 * closes. Otherwise a child that is still loading when we are killed would keep running and hold its port forever.
 */
const END_WITH_US =
  'data:text/javascript,' + // in a URL, #, ? and % would end or change the text
  "const end = () => process.listenerCount('disconnect') || process.kill(process.pid, 'SIGTERM');" +
  "if (process.connected) process.once('disconnect', end); else end();";

interface Launched {
  /** Undefined if the system could not create the process. */
  process: ChildProcess | undefined;
  /** How it ended, as text; recorded from the beginning. */
  ended: Promise<string>;
}

function load({ script, env, laterEnv, output }: ChildOptions): Launched {
  try {
    const child = fork(script, laterEnv ? ['env-by-message'] : [], {
      env,
      execArgv: [...process.execArgv, '--import', END_WITH_US],
      // Its own process group: otherwise Ctrl-C in the terminal would stop the sandbox while the API drains.
      detached: true,
      // The channel carries no other message. It closes when we die, even by kill -9, and then the child ends.
      stdio: ['ignore', output ?? 'inherit', output ?? 'inherit', 'ipc'],
    });
    return { process: child, ended: untilEnd(child) };
  } catch (error) {
    return { process: undefined, ended: Promise.resolve((error as Error).message) };
  }
}

function activate(child: ChildProcess, { laterEnv, onStart }: ChildOptions): void {
  if (child.pid !== undefined) onStart?.(child.pid);
  laterEnv?.then(
    (later) => child.connected && child.send(later, () => undefined), // a child that has died is restarted
    () => undefined, // the caller has failed and stops the child
  );
}

async function untilEnd(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      // Also emitted when a signal could not be sent; then the exit is still to come.
      if (child.pid === undefined) resolve(error.message);
    });
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
  });
}

/** Whether the child became ready before it ended. */
async function untilReady(isReady: () => Promise<boolean>, over: AbortSignal): Promise<boolean> {
  while (!over.aborted) {
    if (await isReady().catch(() => false)) return !over.aborted;
    await delay(READY_POLL_MS, undefined, { signal: over }).catch(() => undefined);
  }
  return false;
}
