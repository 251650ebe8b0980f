import { Logger } from '@nestjs/common';

/** The pause after a run that failed, in ms, if the interval is shorter: a database that is away is not hurried. */
const FAILED_PAUSE_MS = 1_000;

/** Runs something again and again, with jitter, so that many processes do not run it at the same moment. */
export class Loop {
  private readonly log: Logger;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;

  /**
   * @param intervalMs from the end of one run to the beginning of the next; with jitter, half to one and a half of it.
   * @param run may return another interval for the next pause, in ms.
   */
  constructor(
    name: string,
    private readonly intervalMs: number,
    private readonly run: () => Promise<number | void>,
  ) {
    this.log = new Logger(name);
  }

  start(): void {
    this.timer = undefined;
    this.running = this.run()
      .catch((error: unknown) => {
        this.log.warn('will try again', error);
        return Math.max(this.intervalMs, FAILED_PAUSE_MS);
      })
      .then((intervalMs) => {
        const pause = (intervalMs ?? this.intervalMs) * (0.5 + Math.random());
        if (!this.stopped) this.timer = setTimeout(() => this.start(), pause);
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
}
