import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXIT_CONFIGURATION, ignorePgVariables } from '../config.js';
import { ConfigurationError } from './environment.js';
import { banner } from '../local/banner.js';
import { localSettings } from '../local/settings.js';
import { CannotStart, LocalStack } from '../local/stack.js';
import { ChildRefusesConfiguration } from '../local/supervisor.js';
import { faultOf } from '../log/fault.js';

// `npm start`: PostgreSQL, sandbox, worker and API on one machine, each a process of its own, kept
// running until Ctrl-C. Proved by test/local/.

// A terminal that was closed cannot be written to; we still have processes to stop.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

// Our children are started again from our own build: build/build.mjs removes none that a live process names here.
const users = fileURLToPath(new URL('../../in-use/', import.meta.url));
mkdirSync(users, { recursive: true });
writeFileSync(`${users}${process.pid}`, '');
process.on('exit', () => rmSync(`${users}${process.pid}`, { force: true }));

let stack: LocalStack | undefined;
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    signals++;
    // The third time not even PostgreSQL is waited for; its watchdog stops it when we are gone.
    if (signals > 2) process.exit(1);
    if (signals > 1) return stack?.hurry();
    console.log(`\n${signal}: stopping. Once more to hurry.`);
    void end(0);
  });
}

// The shell's PGSSLMODE and the like are about another server than the one that we bring.
if (!process.env.DATABASE_URL) ignorePgVariables();

try {
  const settings = await localSettings(process.env);
  stack = new LocalStack(settings, (line) => console.log(`local: ${line}`));
  const databaseUrl = await stack.start();
  console.log(banner(settings, databaseUrl, process.uptime()));
} catch (error) {
  // After a signal whatever was under way fails, and `end` is already at work.
  if (signals === 0) {
    report(error);
    await end(isConfiguration(error) ? EXIT_CONFIGURATION : 1);
  }
}

async function end(code: number): Promise<void> {
  // Some of what is waited for keeps no event loop alive; without this Node would leave with code 13.
  setInterval(() => undefined, 1_000);
  await stack?.stop();
  process.exit(code);
}

function isConfiguration(error: unknown): boolean {
  return error instanceof ConfigurationError || error instanceof ChildRefusesConfiguration;
}

function report(error: unknown): void {
  if (error instanceof ChildRefusesConfiguration) return; // it has printed its line
  const forTheUser = error instanceof CannotStart || error instanceof ConfigurationError;
  console.error(forTheUser ? error.message : JSON.stringify(faultOf(error)));
}
