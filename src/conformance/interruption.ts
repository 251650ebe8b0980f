/** On Ctrl-C the terminal signals this process, and npm forwards the signal as well: one key press arrives twice. */
const SAME_SIGNAL_MS = 500;

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 };

/** Takes the first SIGINT or SIGTERM, so that the reports can be written. The next one ends the process as usual. */
export class Interruption {
  /** The exit code for the signal that arrived. */
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
