import { parseArgs } from 'node:util';
import { lineOf } from '../audit/invariant.js';
import { endWithUsage } from './run-command.js';
import type { Config } from '../config.js';
import { commandEnvironment } from '../local/running.js';
import { sqlStateOf } from '../idempotency/errors.js';
import { nameOf } from '../log/redacted-error.js';
import { longOptions, withDatabase, type Database } from '../database/database.js';
import { toUtc } from '../http/input/rules.js';
import type { Span } from '../processor/processor.js';
import { StripeProcessor } from '../processor/stripe-processor.js';
import { reconcile } from '../reconciliation/reconcile.js';
import { run } from './run-program.js';

// `npm run reconcile`: run it after a restore from a backup, or a failover that lost commits, before clients can
// connect. Prints one line for each difference, repaired ones included. Exit code: 0 no difference, 1 differences, 2
// the ledger could not be read, 64 usage, 78 configuration.

const USAGE = `Usage: npm run reconcile -- [--from <time>] [--to <time>]

Compares the processor's ledger of that period with the charges and refunds here, in both directions,
and rebuilds those that are missing here. Times are ISO 8601; the default is the last 30 days.`;
const DAYS_MS = 30 * 24 * 3_600_000;
const COULD_NOT_READ = 2;
/** By SQLSTATE. */
const HINTS: Partial<Record<string, string>> = {
  '57014':
    ': PostgreSQL ended a statement. If nobody canceled it, the pooler in front of the database ignores our session options: set DATABASE_URL to the address of PostgreSQL itself.',
};

const span = spanOf() ?? endWithUsage(USAGE);
await run(
  ({ databaseUrl, ...config }) =>
    withDatabase(longOptions(databaseUrl), (db) => repair(db, config)),
  commandEnvironment,
);

async function repair(
  db: Database,
  { processor: options, abandonLimits, idempotency }: Omit<Config, 'databaseUrl'>,
): Promise<void> {
  try {
    const processor = new StripeProcessor(options);
    const { payments, refunds, elsewhere, differences } = await reconcile(
      db,
      processor,
      span,
      (difference) => console.log(lineOf(difference)),
      (abandonLimits.deadlineMs + idempotency.leaseMs) / 1000,
    );
    if (elsewhere > 0) {
      console.log(
        `${elsewhere} payments and refunds name accounts that do not exist here: they belong to another installation, or the accounts were lost`,
      );
    }
    console.log(
      `${payments} payments and ${refunds} refunds of ${processor.name}, ${differences} differences`,
    );
    process.exitCode = differences > 0 ? 1 : 0;
  } catch (error) {
    console.error(`could not reconcile: ${nameOf(error)}${HINTS[sqlStateOf(error) ?? ''] ?? ''}`);
    process.exitCode = COULD_NOT_READ;
  }
}

/** Reads times as the API does: without an offset they are UTC. An Invalid Date if the text is not a time. */
function timeOf(text: string): Date {
  return new Date(toUtc(text) ?? NaN);
}

function spanOf(): Span | undefined {
  try {
    const { values } = parseArgs({
      options: { from: { type: 'string' }, to: { type: 'string' } },
    });
    const now = new Date();
    const to = values.to === undefined ? now : timeOf(values.to);
    const from = values.from === undefined ? new Date(to.getTime() - DAYS_MS) : timeOf(values.from);
    // Also false if one is an Invalid Date.
    return from <= to ? { from, to: to < now ? to : now } : undefined;
  } catch {
    return undefined;
  }
}
