import { parseArgs } from 'node:util';
import { endWithUsage } from './run-command.js';
import type { Config } from '../config.js';
import { commandEnvironment } from '../local/running.js';
import { nameOf } from '../log/fault.js';
import { databaseOptions, withDatabase, type Database } from '../database/database.js';
import { toUtc } from '../http/input/rules.js';
import type { Span } from '../processor/processor.js';
import { StripeProcessor } from '../processor/stripe-processor.js';
import { reconcile } from '../reconciliation/reconcile.js';
import { run } from './run-program.js';

// `npm run reconcile`: run it after a restore from a backup or a failover that lost commits, before clients are let in.
// One line for each difference, what was repaired included.
// Exit code: 0 none, 1 some, 2 the ledger could not be read, 64 usage, 78 configuration.

const USAGE = `Usage: npm run reconcile -- [--from <time>] [--to <time>]

Holds the processor's ledger of that span against the charges and refunds here, both ways, and
rebuilds those that are missing here. Times are ISO 8601; the default is the last 30 days.`;
const DAYS_MS = 30 * 24 * 3_600_000;
const COULD_NOT_LOOK = 2;

const args = process.argv.slice(2);
const span = spanOf(args) ?? endWithUsage(USAGE, args);
await run(
  ({ databaseUrl, ...config }) =>
    withDatabase(databaseOptions(databaseUrl, 2), (db) => repair(db, config)),
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
      ({ invariant, account_id, id, detail }) =>
        console.log([invariant, account_id, id, detail].join('  ')),
      (abandonLimits.deadlineMs + idempotency.leaseMs) / 1000,
    );
    if (elsewhere > 0) {
      console.log(
        `${elsewhere} payments and refunds name accounts that are not here: another installation's, or lost`,
      );
    }
    console.log(
      `${payments} payments and ${refunds} refunds of ${processor.name}, ${differences} differences`,
    );
    process.exitCode = differences > 0 ? 1 : 0;
  } catch (error) {
    console.error(`could not reconcile: ${nameOf(error)}`);
    process.exitCode = COULD_NOT_LOOK;
  }
}

/** As the API reads times: without an offset it is UTC. An Invalid Date if it is none. */
function timeOf(text: string): Date {
  return new Date(toUtc(text) ?? NaN);
}

function spanOf(args: string[]): Span | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: { from: { type: 'string' }, to: { type: 'string' } },
    });
    const now = new Date();
    const to = values.to === undefined ? now : timeOf(values.to);
    const from = values.from === undefined ? new Date(to.getTime() - DAYS_MS) : timeOf(values.from);
    // False as well if one is no time.
    return from <= to ? { from, to: to < now ? to : now } : undefined;
  } catch {
    return undefined;
  }
}
