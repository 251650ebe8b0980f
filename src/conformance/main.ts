#!/usr/bin/env node
// Checks from outside whether the POST of an API is idempotent. It talks only to the named host, and writes only the
// requested reports. Proof that it finds wrong servers: test/conformance/wrong-servers.spec.ts.
import { open, readFile, writeFile } from 'node:fs/promises';
import { argumentsOf, HELP, isHttpUrl, UsageError, type Arguments } from './arguments.js';
import { ALL_CASES } from './cases/all-cases.js';
import { CannotRun, runCases } from './check/run.js';
import { Interruption } from './interruption.js';
import { PROFILE_SCHEMA } from './profile/profile.schema.js';
import { ProfileError, readProfile } from './profile/read-profile.js';
import { junitReport } from './report/junit.js';
import { markdownReport } from './report/markdown.js';
import { pageReport } from './report/page.js';
import { reportOf, type Report } from './report/report.js';
import { Secrets } from './report/secrets.js';
import { listOf, progressLine, startLines, summary } from './report/terminal.js';
import { targetOf } from './wire/connection.js';
import { Load } from './wire/load.js';

const EXIT = { ok: 0, failed: 1, couldNotRun: 2, usage: 64 };
const REPORTS = ['json', 'junit', 'html', 'markdown'] as const;

const exitCode = await main(process.argv.slice(2));
if (exitCode > 128) process.exit(exitCode); // an interrupted case still has sockets and timers
process.exitCode = exitCode;

async function main(args: string[]): Promise<number> {
  try {
    const ids = ALL_CASES.map(({ id }) => id);
    const asked = argumentsOf(args, ids);
    if (asked.action === 'help') return print(`${HELP}\n`);
    if (asked.action === 'list') return print(listOf(chosen(asked)));
    if (asked.action === 'schema') return print(`${JSON.stringify(PROFILE_SCHEMA, null, 2)}\n`);
    if (asked.action === 'compare') return await compare(asked);
    return await check(asked);
  } catch (error) {
    if (error instanceof UsageError) return complain(`${error.message}\n\n${HELP}`, EXIT.usage);
    if (error instanceof ProfileError)
      return complain(`The profile cannot be used:\n${error.message}`, EXIT.couldNotRun);
    if (error instanceof CannotRun) return complain(error.message, EXIT.couldNotRun);
    // A bug in the check itself. Its exit code differs from that of a failed test of level `must`.
    return complain((error as Error).stack ?? String(error), EXIT.couldNotRun);
  }
}

async function check(asked: Arguments): Promise<number> {
  const profile = await readProfile(asked.profile!, process.env);
  const url = asked.url ?? profile.url;
  if (url === undefined) throw new UsageError('--url is missing, and the profile has none');
  if (!isHttpUrl(url)) throw new ProfileError('/url is not an http or https URL');
  await touch(asked);
  const cases = chosen(asked);
  const load = new Load(profile.limits);
  const timeoutMs = profile.timing.requestSeconds * 1000;
  const secrets = new Secrets(profile);
  const startedAt = new Date();
  const start = performance.now();
  print(startLines(profile.name, url, cases.length, profile.limits));
  let done = 0;
  const session = { target: targetOf(new URL(url)), load, timeoutMs };
  const interruption = new Interruption();
  const run = await runCases(cases, profile, session, interruption.reason, (result) => {
    done += 1;
    print(`${secrets.mask(progressLine(result, done, cases.length))}\n`);
  }).catch((error: unknown) => {
    if (error instanceof CannotRun) error.message = secrets.mask(error.message);
    throw error;
  });
  const seconds = (performance.now() - start) / 1000;
  const { requests, peak } = load;
  const report = reportOf({ profile, secrets, url, startedAt, seconds, requests, peak, ...run });
  print(summary(report));
  await writeReports(report, asked);
  return interruption.exitCode ?? exitCodeOf(report, asked.strict);
}

/** Finds out before the run if a report cannot be written. @throws UsageError */
async function touch(asked: Arguments): Promise<void> {
  for (const kind of REPORTS) {
    const file = asked[kind];
    if (file === undefined) continue;
    try {
      await (await open(file, 'a')).close();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UsageError(`--${kind} ${file}: cannot be written (${code})`);
    }
  }
}

async function writeReports(report: Report, asked: Arguments): Promise<void> {
  const texts: Record<(typeof REPORTS)[number], () => string> = {
    json: () => `${JSON.stringify(report, null, 2)}\n`,
    junit: () => junitReport(report, asked.strict),
    html: () => pageReport(report),
    markdown: () => markdownReport([report]),
  };
  for (const kind of REPORTS) {
    const file = asked[kind];
    if (file !== undefined) await writeFile(file, texts[kind]());
  }
}

function exitCodeOf({ failedMusts, totals, stoppedBy }: Report, strict: boolean): number {
  if (failedMusts > 0 || (strict && totals.fail + totals.mismatch > 0)) return EXIT.failed;
  return stoppedBy === undefined ? EXIT.ok : EXIT.couldNotRun;
}

async function compare({ reports: files, markdown }: Arguments): Promise<number> {
  const reports = await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(file, 'utf8')) as Report),
  );
  const text = markdownReport(reports);
  if (markdown === undefined) return print(text);
  await writeFile(markdown, text);
  return EXIT.ok;
}

function chosen({ only }: Arguments) {
  if (only.length === 0) return ALL_CASES;
  return ALL_CASES.filter(({ id, group }) => only.includes(id) || only.includes(group));
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}

function complain(text: string, exitCode: number): number {
  process.stderr.write(`${text}\n`);
  return exitCode;
}
