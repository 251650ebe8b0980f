import { audit, INVARIANTS } from '../audit/audit.js';
import { lineOf, type Finding } from '../audit/invariant.js';
import { compareWithProcessor, PAYMENT_INVARIANTS } from '../audit/processor-comparison.js';
import { endWithUsage } from './run-command.js';
import type { Config } from '../config.js';
import { commandEnvironment } from '../local/running.js';
import { StripeProcessor } from '../processor/stripe-processor.js';
import { readingOptions, withDatabase } from '../database/database.js';
import { run } from './run-program.js';

// `npm run audit`: checks the rows of DATABASE_URL (or of the running `npm start`) with src/audit/*.sql, and compares
// them with the ledger of the configured processor. Prints one line for each finding. Exit code: 0 no finding, 1
// findings, 2 could not check, 64 usage, 78 configuration.

const USAGE = `Usage: npm run audit

Looks for broken invariants in our rows and in the processor's ledger. Prints one line for each finding:
invariant, account, id, detail. Changes nothing, takes no arguments.`;
const COULD_NOT_CHECK = 2;

if (process.argv.length > 2) endWithUsage(USAGE);
await run(async (config) => {
  try {
    const findings = await look(config);
    for (const finding of findings) console.log(lineOf(finding));
    const asked = INVARIANTS.length + PAYMENT_INVARIANTS.length;
    console.log(`${asked} invariants, ${findings.length} findings, ${config.processor.name}`);
    process.exitCode = findings.length > 0 ? 1 : 0;
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    console.error(`the audit could not run: ${message || code || String(error)}`);
    process.exitCode = COULD_NOT_CHECK;
  }
}, commandEnvironment);

async function look(config: Config): Promise<Finding[]> {
  const { databaseUrl: url, idempotency, abandonLimits } = config;
  const processor = new StripeProcessor(config.processor);
  const recoverySeconds = (abandonLimits.deadlineMs + idempotency.leaseMs) / 1000;
  return withDatabase(readingOptions(url), async (db) => [
    ...(await audit(db, idempotency.ttlSeconds)),
    ...(await compareWithProcessor(db, processor, { recoverySeconds })),
  ]);
}
