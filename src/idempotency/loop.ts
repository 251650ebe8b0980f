import { Logger } from '@nestjs/common';

/** The pause after a run that failed, in ms, if the usual one is shorter: a database that is away is not hurried. */
const FAILED_PAUSE_MS = 1_000;
/** How long a loop that polls may look, as a part of the time: a query over a long backlog must not fill a core. */
const PART_FOR_LOOKING = 0.1;

/** Of a loop that polls: short pauses while its runs find work, growing ones while they do not; in ms. */
export interface Poll {
  busyMs: number;
  idleMs: number;
}

/** Runs something again and again, with jitter, so that many processes do not run it at the same moment. */
export class Loop {
  private readonly log: Logger;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private pauseMs: number;
  private stopped = false;

  /**
   * @param pauses from the end of one run to the beginning of the next, in ms; with jitter, half to one and a half of it.
   * @param run of a loop that polls: starts what it finds. @returns whether it found any.
   */
  constructor(
    name: string,
    private readonly pauses: number | Poll,
    private readonly run: () => Promise<boolean | void>,
  ) {
    this.log = new Logger(name);
    this.pauseMs = typeof pauses === 'number' ? pauses : pauses.busyMs;
  }

  /** From `stop` on: a run that is under way starts nothing any more. */
  get isStopped(): boolean {
    return this.stopped;
  }

  start(): void {
    this.timer = undefined;
    const began = performance.now();
    this.running = this.run()
      .then(
        (found) => this.pauseAfter(found === true, performance.now() - began),
        (error: unknown) => {
          this.log.warn('will try again', error);
          return Math.max(this.longestPauseMs, FAILED_PAUSE_MS);
        },
      )
      .then((pauseMs) => {
        if (this.stopped) return;
        this.timer = setTimeout(() => this.start(), pauseMs * (0.5 + Math.random()));
      });
  }

  /** Ends the present pause, if there is one. */
  wake(): void {
    if (this.timer === undefined || this.stopped) return;
    clearTimeout(this.timer);
    this.start();
  }

  /** Resolves when the current run, if any, has ended. No other begins. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private get longestPauseMs(): number {
    return typeof this.pauses === 'number' ? this.pauses : this.pauses.idleMs;
  }

  private pauseAfter(found: boolean, tookMs: number): number {
    if (typeof this.pauses === 'number') return this.pauses;
    const { busyMs, idleMs } = this.pauses;
    this.pauseMs = found ? busyMs : Math.min(this.pauseMs * 1.5, idleMs);
    return Math.max(this.pauseMs, tookMs / PART_FOR_LOOKING);
  }
}
