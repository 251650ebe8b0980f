import type { Source } from '../journal.js';

/** Frames that only carry a statement. */
const CARRIERS = /\/src\/(?:database|lab)\/|\/src\/idempotency\/database\.|node_modules/;

/** Which line of ours asked for what is going on: the first frame that is neither a library's nor a carrier's. */
export function callerOf(): Source | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 50; // libraries have many frames between the wire and us
  const { stack = '' } = new Error();
  Error.stackTraceLimit = limit;
  for (const line of stack.split('\n')) {
    const found = /\/((?:src|migrations)\/[\w./-]+\.ts):(\d+):\d+\)?$/.exec(line);
    if (found && !CARRIERS.test(line)) return { file: found[1]!, line: Number(found[2]) };
  }
  return undefined;
}
