import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXIT_CONFIGURATION, ignorePgVariables } from '../config.js';
import { ConfigurationError } from '../environment/environment.js';
import { banner } from '../local/banner.js';
import { localSettings } from '../local/settings.js';
import { CannotStart, LocalStack } from '../local/stack.js';
import { ChildRefusesConfiguration } from '../local/supervisor.js';
import { redactError } from '../log/redacted-error.js';
import { operatorError } from './operator-error.js';

// `npm start`: PostgreSQL, sandbox, worker and API on one machine, each in its own process, kept running until
// Ctrl-C. Proof: test/local/.

// Writes to a closed terminal fail; ignore that, because the child processes must still be stopped.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

// Children are restarted from the same build. build/build.mjs keeps a build while a live process is listed here.
const users = fileURLToPath(new URL('../../in-use/', import.meta.url));
mkdirSync(users, { recursive: true });
writeFileSync(`${users}${process.pid}`, '');
process.on('exit', () => rmSync(`${users}${process.pid}`, { force: true }));

let stack: LocalStack | undefined;
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    signals++;
    // The third signal does not even wait for PostgreSQL; its watchdog stops it after we exit.
    if (signals > 2) process.exit(1);
    if (signals > 1) return stack?.killChildren();
    console.log(`\n${signal}: stopping. Repeat to stop at once.`);
    void end(0);
  });
}

// PGSSLMODE and similar variables of the shell are meant for another server, not for our embedded one.
if (!process.env.DATABASE_URL) ignorePgVariables();

try {
  const settings = await localSettings(process.env);
  stack = new LocalStack(
    settings,
    (line) => console.log(`local: ${line}`),
    (error) => operatorError(error)?.line,
  );
  const databaseUrl = await stack.start();
  console.log(banner(settings, databaseUrl, process.uptime()));
} catch (error) {
  // After a signal, any step in progress fails, and `end` is already running.
  if (signals === 0) {
    report(error);
    await end(isConfiguration(error) ? EXIT_CONFIGURATION : 1);
  }
}

async function end(code: number): Promise<void> {
  // Some awaited work keeps no event loop alive; without this timer Node would exit with code 13.
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
  console.error(forTheUser ? error.message : JSON.stringify(redactError(error)));
}
