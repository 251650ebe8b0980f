import { Logger } from '@nestjs/common';

/** The shortest pause after a failed run, in ms, so that loops do not overload a database that is recovering. */
const MIN_FAILED_PAUSE_MS = 1_000;
/** The largest share of time that a loop may poll: a slow query over a long backlog must not use a whole core. */
const MAX_POLLING_SHARE = 0.1;

/** Pauses of a loop that polls, in ms: short while its runs find work, growing to `idleMs` while they do not. */
export interface PollPauses {
  busyMs: number;
  idleMs: number;
}

/** Runs a function repeatedly, with jitter, so that many processes do not run it at the same moment. */
export class Loop {
  private readonly log: Logger;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private pauseMs: number;
  /** When a woken loop may run again. Undefined during a run, and after one that failed. */
  private freeAt: number | undefined;
  /** `wake` was called since the last run began: that run may have looked before the work was there. */
  private woken = false;
  private stopped = false;

  /**
   * @param pauses from the end of one run to the start of the next, in ms. Jitter multiplies each pause by 0.5 to 1.5.
   * @param run starts the work that it finds. @returns whether it started any; only polling loops use this.
   */
  constructor(
    name: string,
    private readonly pauses: number | PollPauses,
    private readonly run: () => Promise<boolean | void>,
  ) {
    this.log = new Logger(name);
    this.pauseMs = typeof pauses === 'number' ? pauses : pauses.busyMs;
  }

  /** True after `stop`: a run in flight then starts no more work. */
  get isStopped(): boolean {
    return this.stopped;
  }

  start(): void {
    this.woken = false;
    this.freeAt = undefined;
    const began = performance.now();
    this.running = this.run()
      .then(
        (found) => {
          const ended = performance.now();
          this.freeAt = ended + (ended - began) / MAX_POLLING_SHARE;
          return Math.max(this.pauseAfter(found === true), this.freeAt - ended);
        },
        (error: unknown) => {
          this.log.warn('the run failed; it will be tried again', error);
          return Math.max(this.longestPauseMs, MIN_FAILED_PAUSE_MS);
        },
      )
      .then((pauseMs) => {
        this.startIn(pauseMs * (0.5 + Math.random()));
        if (this.woken) this.wake();
      });
  }

  /** Shortens the current pause, or the one after the current run, as far as the polling share allows. */
  wake(): void {
    this.woken = true;
    if (this.freeAt !== undefined) this.startIn(this.freeAt - performance.now());
  }

  /** Resolves when the current run, if any, has ended. No other run starts. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private startIn(pauseMs: number): void {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.start(), pauseMs);
  }

  private get longestPauseMs(): number {
    return typeof this.pauses === 'number' ? this.pauses : this.pauses.idleMs;
  }

  private pauseAfter(found: boolean): number {
    if (typeof this.pauses === 'number') return this.pauses;
    const { busyMs, idleMs } = this.pauses;
    this.pauseMs = found ? busyMs : Math.min(this.pauseMs * 1.5, idleMs);
    return this.pauseMs;
  }
}
