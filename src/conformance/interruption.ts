/** npm forwards a Ctrl-C that the terminal sends to this process, too: one key press arrives twice. */
const SAME_SIGNAL_MS = 500;

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 };

/** Takes the first SIGINT or SIGTERM, so that the reports can be written. The next one ends the process as usual. */
export class Interruption {
  /** Of the signal that came. */
  exitCode?: number;
  /** Resolves with the reason, or never. */
  readonly reason: Promise<string>;

  constructor() {
    this.reason = new Promise((resolve) => {
      for (const [signal, exitCode] of Object.entries(EXIT_CODES)) {
        const take = () => {
          this.exitCode ??= exitCode;
          resolve(`interrupted by ${signal}`);
          setTimeout(() => process.off(signal, take), SAME_SIGNAL_MS);
        };
        process.on(signal, take);
      }
    });
  }
}
