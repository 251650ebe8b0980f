import { audit, INVARIANTS } from '../audit/audit.js';
import type { Finding } from '../audit/invariant.js';
import { compareWithProcessor, PAYMENT_INVARIANTS } from '../audit/processor-comparison.js';
import { endWithUsage } from './run-command.js';
import type { Config } from '../config.js';
import { commandEnvironment } from '../local/running.js';
import { StripeProcessor } from '../processor/stripe-processor.js';
import { readingOptions, withDatabase } from '../database/database.js';
import { run } from './run-program.js';

// `npm run audit`: compares the rows of DATABASE_URL (or of the `npm start` that runs here) with src/audit/*.sql, and
// with the ledger of the configured processor.
// One line for each finding. Exit code: 0 nothing found, 1 something found, 2 could not look, 64 usage,
// 78 configuration.

const USAGE = `Usage: npm run audit

Looks for broken invariants in our rows and in the processor's ledger. Prints one line for each finding:
invariant, account, id, detail. Changes nothing, takes no arguments.`;
const COULD_NOT_LOOK = 2;

const args = process.argv.slice(2);
if (args.length > 0) endWithUsage(USAGE, args);
await run(async (config) => {
  try {
    const findings = await look(config);
    for (const { invariant, account_id, id, detail } of findings) {
      console.log([invariant, account_id, id, detail].join('  '));
    }
    const asked = INVARIANTS.length + PAYMENT_INVARIANTS.length;
    console.log(`${asked} invariants, ${findings.length} findings, ${config.processor.name}`);
    process.exitCode = findings.length > 0 ? 1 : 0;
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    console.error(`the audit could not be made: ${message || code || String(error)}`);
    process.exitCode = COULD_NOT_LOOK;
  }
}, commandEnvironment);

async function look(config: Config): Promise<Finding[]> {
  const { databaseUrl: url, idempotency, givingUp } = config;
  const processor = new StripeProcessor(config.processor);
  const recoverySeconds = (givingUp.deadlineMs + idempotency.leaseMs) / 1000;
  return withDatabase(readingOptions(url), async (db) => [
    ...(await audit(db, idempotency.ttlSeconds)),
    ...(await compareWithProcessor(db, processor, { recoverySeconds })),
  ]);
}
