import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCampaign } from '../proof/campaign.js';
import { check } from '../proof/checker/check.js';
import type { Violation } from '../proof/checker/violation.js';
import type { Journals } from '../proof/history.js';
import { planFor } from '../proof/plan.js';
import { runPlanted } from '../proof/planted/run.js';
import { reportOf, summaryOf } from '../proof/report/report.js';
import { reportPage } from '../proof/report/page.js';
import { writeWitnesses } from '../proof/report/witnesses.js';
import { endWithUsage, parseOrEnd } from './run-command.js';

// `npm run proof`: random faults by a seed against real processes, judged by a checker that reads journals only.
// Exit code: 0 no violation, 1 violations, 2 a cell of the plan was not hit, 64 usage.
// Proof: test/proof/campaign.spec.ts.

const USAGE = `Usage: npm run proof -- [--seed N] [--minutes M] [--apis 1..4] [--out folder]
       npm run proof -- --planted [bug ...]
       npm run proof -- --check folder
       npm run proof -- --schedules [scenario ...] [--only scenario:choices]

Breaks a whole service for M minutes (default 10), heals it, and checks what was recorded.
--planted  builds the service with known bugs, one at a time, and shows how fast each is found
--check    judges the journals of an earlier run again
--schedules  runs the statements of concurrent requests in every possible order`;
const INVALID = 2;

if (process.argv.includes('--help')) endWithUsage(USAGE);
const { values, positionals } = parseOrEnd(USAGE, {
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string' },
    apis: { type: 'string' },
    out: { type: 'string' },
    check: { type: 'string' },
    planted: { type: 'boolean' },
    schedules: { type: 'boolean' },
    only: { type: 'string' },
  },
});
const programs = fileURLToPath(new URL('.', import.meta.url));
// Some awaited work keeps no event loop alive; without this timer Node would exit with code 13.
setInterval(() => undefined, 1_000);
process.exitCode = await main();
process.stdout.write('', () => process.exit()); // exit after the last lines: writes to a pipe are asynchronous

function main(): Promise<number> {
  if (values.check !== undefined) return recheck(values.check);
  if (values.schedules) return schedules();
  if (!values.planted) return campaign();
  const folder = resolve(values.out ?? '.data/proof/planted');
  return runPlanted({ root: resolve('.'), folder, names: positionals, log: console.log });
}

async function campaign(): Promise<number> {
  const seed = Number(values.seed ?? Date.now() % 100_000);
  const minutes = Number(values.minutes ?? 10);
  const apis = Number(values.apis ?? 2);
  if (!(seed >= 0 && minutes > 0 && apis >= 1 && apis <= 4) || positionals.length > 0)
    endWithUsage(USAGE);
  const folder = resolve(values.out ?? `.data/proof/seed-${seed}`);
  console.log(`seed ${seed}, ${minutes} min, into ${folder}`);
  const plan = planFor(minutes);
  const options = { seed, ms: minutes * 60_000, plan, folder, programs, apis, log: console.log };
  const result = await runCampaign(options);
  const report = reportOf(result, { seed, minutes });
  await writeFile(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(join(folder, 'report.html'), reportPage(report, result.drawings));
  print(result.violations);
  console.log(summaryOf(report));
  console.log(`report: ${join(folder, 'report.html')}`);
  if (result.violations.length > 0) return 1;
  return result.missed.length > 0 ? INVALID : 0;
}

async function schedules(): Promise<number> {
  const { runSchedules } = await import('../proof/schedules/program.js');
  const folder = resolve(values.out ?? '.data/proof/schedules');
  return runSchedules({ folder, names: positionals, only: values.only, log: console.log });
}

async function recheck(folder: string): Promise<number> {
  const journals = JSON.parse(await readFile(join(folder, 'journals.json'), 'utf8')) as Journals;
  const violations = check(journals);
  const drawings = await writeWitnesses(folder, journals, violations);
  print(violations);
  console.log(`${violations.length} violations`);
  if (drawings.length > 0) console.log(`diagrams: ${join(folder, 'witnesses', 'index.html')}`);
  return violations.length > 0 ? 1 : 0;
}

/** Prints at most three violations of each rule, so that one fault does not fill the terminal. The report has all. */
function print(violations: Violation[]): void {
  const shown = new Map<string, number>();
  for (const { rule, says, witness } of violations) {
    const count = (shown.get(rule) ?? 0) + 1;
    shown.set(rule, count);
    if (count <= 3) console.log(`\nVIOLATION of "${rule}": ${says}\n${witness}`);
  }
}
