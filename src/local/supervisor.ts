import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_CONFIGURATION } from '../config.js';

// Keeps one child process running. Proof: test/white-box/local/supervisor.spec.ts, standby.spec.ts.

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
   * Variables in addition to `env`, sent to the child as a message when they are known. Meanwhile the child loads its
   * code, which is most of its start, and then waits for them. Its argument `env-by-message` says that it must wait.
   */
  laterEnv?: Promise<NodeJS.ProcessEnv>;
  /**
   * Keeps a second process with its code loaded, which takes over when the child dies: loading is two thirds of a
   * start, and takes seconds on a loaded machine. Needs `laterEnv`; costs the memory of an idle process. The first
   * standby loads this long after the first start is ready, when the first requests are answered; later ones load
   * immediately. Undefined: no standby.
   */
  standbyAfterMs?: number;
  /** Called repeatedly after each start until it returns true. Must return within about a second. */
  isReady: () => Promise<boolean>;
  /** Called with the pid after each start. */
  onStart?: (pid: number) => void;
  /** Called after each start when the child is ready. */
  onReady?: (pid: number) => void;
  /** Called at each end, with a description of how the process ended. */
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
  /** The pid of the current process; undefined between two processes. */
  pid: () => number | undefined;
  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when the child has ended; it is not restarted. */
  stop: (graceMs: number) => Promise<void>;
  /** SIGKILL now, if the stop takes too long. */
  kill: () => void;
}

/**
 * Starts a child and restarts it whenever it dies: immediately if it had been ready, otherwise with back-off. (The
 * lab's faults kill the API many times a minute, and it must be back before clients stop retrying.)
 */
export function supervise(options: ChildOptions): SupervisedChild {
  return new Supervision(options);
}

class Supervision implements SupervisedChild {
  readonly ready: Promise<void>;
  private child: ChildProcess | undefined;
  private everReady = false;
  private announceReady!: () => void;
  private announceFailure!: (reason: Error) => void;
  private readonly stopping = new AbortController();
  private readonly standby: Standby;
  private readonly finished: Promise<void>;

  constructor(private readonly options: ChildOptions) {
    this.standby = new Standby(options, this.stopping.signal);
    this.ready = new Promise((resolve, reject) => {
      this.announceReady = resolve;
      this.announceFailure = reject;
    });
    this.ready.catch(() => undefined); // a caller that stops early may never await it
    this.finished = this.keepRunning();
  }

  readonly pid = () => this.child?.pid;

  readonly kill = () => void this.child?.kill('SIGKILL');

  readonly stop = async (graceMs: number) => {
    this.stopping.abort();
    this.standby.take()?.process?.kill('SIGKILL'); // it has not started any work
    this.child?.kill('SIGTERM');
    const killer = setTimeout(() => {
      this.options.log(
        `${this.options.name} did not stop within ${graceMs / 1000} s and is killed`,
      );
      this.kill();
    }, graceMs);
    await this.finished;
    clearTimeout(killer);
  };

  private async keepRunning(): Promise<void> {
    const { name, log } = this.options;
    const { signal } = this.stopping;
    let backOffMs = BACK_OFF_MS.first;
    while (!signal.aborted) {
      const { pid, end, wasReady } = await this.runOnce();
      if (signal.aborted) break;
      if (end === `code ${EXIT_CONFIGURATION}` && !this.everReady)
        return this.announceFailure(new ChildRefusesConfiguration(name));
      const ended = `${name} (pid ${pid}) ended with ${end}`;
      if (wasReady) {
        log(`${ended}; starting it again`);
        backOffMs = BACK_OFF_MS.first;
        continue;
      }
      log(`${ended}; starting it again in ${backOffMs / 1000} s`);
      await delay(backOffMs, undefined, { signal }).catch(() => undefined);
      backOffMs = Math.min(backOffMs * 2, BACK_OFF_MS.max);
    }
    this.announceFailure(new ChildStopped(name));
  }

  private async runOnce() {
    const { isReady, onEnd } = this.options;
    const { process: child, ended } = this.standby.take() ?? load(this.options);
    this.child = child;
    if (child) activate(child, this.options);
    const over = new AbortController();
    const readiness = untilReady(isReady, over.signal).then((ready) => {
      if (ready) this.becameReady(child?.pid);
      return ready;
    });
    const end = await ended;
    const pid = child?.pid;
    this.child = undefined;
    if (pid !== undefined) onEnd?.(pid, end);
    over.abort();
    return { pid, end, wasReady: await readiness };
  }

  private becameReady(pid: number | undefined): void {
    this.announceReady();
    if (pid !== undefined) this.options.onReady?.(pid);
    this.standby.prepareWhenDue(!this.everReady);
    this.everReady = true;
  }
}

/** The second process of `standbyAfterMs`. */
class Standby {
  private launched: Launched | undefined;

  constructor(
    private readonly options: ChildOptions,
    private readonly stopping: AbortSignal,
  ) {}

  take(): Launched | undefined {
    const { launched } = this;
    this.launched = undefined;
    return launched;
  }

  prepareWhenDue(isFirst: boolean): void {
    const { standbyAfterMs } = this.options;
    if (standbyAfterMs === undefined) return;
    if (isFirst) setTimeout(() => this.prepare(), standbyAfterMs).unref();
    else this.prepare();
  }

  private prepare(): void {
    if (this.launched || this.stopping.aborted) return;
    const { name, log } = this.options;
    const launched = load(this.options);
    this.launched = launched;
    void launched.ended.then((end) => {
      if (this.launched !== launched) return; // it has become the child
      this.launched = undefined;
      log(`${name}'s standby ended with ${end}; the next start loads its code`);
    });
  }
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
