import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_CONFIGURATION } from '../config.js';

// Keeps one child process running. Proved by test/white-box/local/supervisor.spec.ts.

/** Smaller burns a core on a child that cannot start; larger and a short outage is felt for long. */
const BACK_OFF_MS = { first: 100, most: 5_000 };

/** Each look costs one request; larger adds to every start and every restart. */
const READY_POLL_MS = 50;

export interface ChildOptions {
  /** As the log lines call it. */
  name: string;
  /** Path of the JavaScript module to run. */
  script: string;
  env: NodeJS.ProcessEnv;
  /**
   * Sent to the child as a message, on top of `env`, once they are known. The child loads its code meanwhile, which is
   * most of its start, and then waits for them (its argument `env-by-message` says that they will come).
   */
  laterEnv?: Promise<NodeJS.ProcessEnv>;
  /**
   * Keeps a second process with its code loaded, which takes over when the child dies: loading is two thirds of a
   * start, and on a loaded machine takes seconds. Needs `laterEnv`; costs the memory of an idle process. The first one
   * loads this long after the first start is ready, when the first requests are answered; the next ones at once.
   * Undefined: none.
   */
  standbyAfterMs?: number;
  /** Asked again and again after each start until it says yes; must answer within a second or so. */
  isReady: () => Promise<boolean>;
  /** Told after each start; for whoever wants to know the pid. */
  onStart?: (pid: number) => void;
  /** Told after each start when the child is ready. */
  onReady?: (pid: number) => void;
  /** Told of each end, in words. */
  onEnd?: (pid: number, end: string) => void;
  log: (line: string) => void;
}

/** The child ended with EX_CONFIG before it was ever ready; it has printed the reason itself. */
export class ChildRefusesConfiguration extends Error {}

/** The child was told to stop before it was ever ready. */
export class ChildStopped extends Error {}

export interface SupervisedChild {
  /**
   * Resolves when the child is ready for the first time.
   * Rejects with ChildRefusesConfiguration or ChildStopped; otherwise it keeps trying.
   */
  ready: Promise<void>;
  /** Of the present incarnation; undefined between two. */
  pid: () => number | undefined;
  /** SIGTERM, and SIGKILL after `graceMs`; resolves when the child is gone, and none follows. */
  stop: (graceMs: number) => Promise<void>;
  /** SIGKILL now, for a stop that takes too long. */
  kill: () => void;
}

/**
 * Starts a child and starts it again whenever it dies: at once if it had been ready (the lab's
 * faults kill the API many times a minute, and each time it must be back before a client gives up),
 * with back-off if not.
 */
export function supervise(options: ChildOptions): SupervisedChild {
  let child: ChildProcess | undefined;
  let standby: Incarnation | undefined;
  const prepareStandby = () => {
    if (standby || stopping.signal.aborted) return;
    const prepared = (standby = load(options));
    void prepared.ended.then((end) => {
      if (standby !== prepared) return; // it has taken over
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
  ready.catch(() => undefined); // whoever stops early may never ask

  const finished = (async () => {
    let everReady = false;
    let backOffMs = BACK_OFF_MS.first;
    while (!stopping.signal.aborted) {
      const incarnation = takeStandby() ?? load(options);
      child = incarnation.process;
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
      const end = await incarnation.ended;
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
      backOffMs = Math.min(backOffMs * 2, BACK_OFF_MS.most);
    }
    announceFailure(new ChildStopped(options.name));
  })();

  return {
    ready,
    pid: () => child?.pid,
    kill: () => void child?.kill('SIGKILL'),
    async stop(graceMs) {
      stopping.abort();
      takeStandby()?.process?.kill('SIGKILL'); // it has begun nothing
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
 * Loaded into each child before its own code: until the program has a handler of its own, it ends
 * when the channel to us closes. Without it a child that is still loading when we are killed would
 * never hear of it, and hold its port for ever.
 */
const END_WITH_US =
  'data:text/javascript,' + // as in every URL, #, ? and % would end the text or change it
  "const end = () => process.listenerCount('disconnect') || process.kill(process.pid, 'SIGTERM');" +
  "if (process.connected) process.once('disconnect', end); else end();";

interface Incarnation {
  /** Undefined if the system had no room for a process. */
  process: ChildProcess | undefined;
  /** How it ended, in words; listened for from the beginning. */
  ended: Promise<string>;
}

function load({ script, env, laterEnv }: ChildOptions): Incarnation {
  try {
    const child = fork(script, laterEnv ? ['env-by-message'] : [], {
      env,
      execArgv: [...process.execArgv, '--import', END_WITH_US],
      // A process group of its own: Ctrl-C in the terminal would otherwise stop the sandbox while the
      // API still drains.
      detached: true,
      // The channel carries no other message. It closes when we die, by kill -9 too, and the child then ends.
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    return { process: child, ended: untilEnd(child) };
  } catch (error) {
    return { process: undefined, ended: Promise.resolve((error as Error).message) };
  }
}

function activate(child: ChildProcess, { laterEnv, onStart }: ChildOptions): void {
  if (child.pid !== undefined) onStart?.(child.pid);
  laterEnv?.then(
    (later) => child.connected && child.send(later, () => undefined), // one that has died is started again
    () => undefined, // our caller has failed, and stops the child
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

/** Whether the child became ready before it was over. */
async function untilReady(isReady: () => Promise<boolean>, over: AbortSignal): Promise<boolean> {
  while (!over.aborted) {
    if (await isReady().catch(() => false)) return !over.aborted;
    await delay(READY_POLL_MS, undefined, { signal: over }).catch(() => undefined);
  }
  return false;
}
