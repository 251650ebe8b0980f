import { redactError } from '../../log/redacted-error.js';

/** PostgreSQL or the processor does not answer. It is usually back within seconds. The message is safe to show. */
export class Away extends Error {}

/** Logs an error that no response reports. Its message may quote data; its class and stack frames do not. */
export function report(what: string, error: unknown): void {
  const line = { level: 'error', program: 'lab', what, fault: redactError(error) };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

/** Logs the error, unless a service was only unreachable: then the next attempt succeeds. */
export function reportUnlessAway(what: string, error: unknown): void {
  if (!(error instanceof Away)) report(what, error);
}

/** Why something failed, for a person. */
export function reasonOf(error: unknown): string {
  if (error instanceof Away) return error.message;
  return `an error of the lab itself (${redactError(error).error}); the log of npm start has its place`;
}
