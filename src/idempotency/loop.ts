import { Logger } from '@nestjs/common';

/** Runs something again and again, with jitter, so that many processes do not all come at once. */
export class Loop {
  private readonly log: Logger;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;

  /** @param intervalMs between the end of one run and the beginning of the next; half to one and a half of it. */
  constructor(
    name: string,
    private readonly intervalMs: number,
    private readonly run: () => Promise<void>,
  ) {
    this.log = new Logger(name);
  }

  start(): void {
    this.running = this.run()
      .catch((error: unknown) => this.log.warn('will try again', error))
      .then(() => {
        const pause = this.intervalMs * (0.5 + Math.random());
        if (!this.stopped) this.timer = setTimeout(() => this.start(), pause);
      });
  }

  /** Resolves when the run under way, if any, has ended. No other begins. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }
}
