import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { LabClient, LabRefusal } from '../lab/program/lab-client.js';
import { stormProgress, stormText } from '../lab/program/storm-text.js';
import { textOf } from '../lab/program/text-diagram.js';
import type { StormEvent } from '../lab/run.js';
import { ConfigurationError } from '../environment/environment.js';
import { commandEnvironment, labOfRunning } from '../local/running.js';
import { endWithUsage, parseOrEnd } from './run-command.js';

// `npm run lab -- …`: the lab's scenarios in a terminal, against the `npm start` that runs here. Exit code: 0 the
// promise held, 1 it did not or nothing runs, 64 usage.

const USAGE = `Usage: npm run lab -- <command>

  list                           the scenarios, with their parameters
  run <scenario> [name=value …]  plays one, and prints what happened; --json prints the run
  open <file>                    opens a saved run, or a witness of \`npm run proof\`, on the page
  matrix                         every design under every fault; takes a minute
  designs [--port N]             serves every design, for a client of your own (default 3003), until Ctrl-C
  storm [--seed N]               purchases with losses and kills by a seed; --purchases N, default 40

It needs \`npm start\` in another terminal. Exit code 1: the promise did not hold.`;

const { values, positionals } = parseOrEnd(USAGE, {
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    port: { type: 'string', default: '3003' },
    purchases: { type: 'string', default: '40' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [command, ...rest] = positionals;

try {
  process.exitCode = await perform();
} catch (error) {
  if (!(error instanceof LabRefusal || error instanceof ConfigurationError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function perform(): Promise<number> {
  if (values.help) endWithUsage(USAGE);
  if (command === 'list' && rest.length === 0) return list();
  if (command === 'run' && rest[0] !== undefined) return play(rest[0], rest.slice(1));
  if (command === 'open' && rest.length === 1) return open(rest[0]!);
  if (command === 'matrix' && rest.length === 0) return matrix();
  if (command === 'designs' && rest.length === 0) return designs();
  if (command === 'storm' && rest.length === 0) return storm();
  return endWithUsage(USAGE);
}

async function list(): Promise<number> {
  const { scenarios } = await (await lab()).catalogue();
  const lines = scenarios.flatMap(({ id, title, parameters }) => [
    `${id.padEnd(22)}${title}`,
    ...parameters.map(({ name, options, min, max, initial }) => {
      const choice = options ? options.join(' | ') : `${min} to ${max}`;
      return `${''.padEnd(24)}${name}=${initial}   (${choice})`;
    }),
  ]);
  return print(lines.join('\n'));
}

async function play(scenario: string, settings: string[]): Promise<number> {
  const parameters = Object.fromEntries(
    settings.map((setting) => {
      const [, name, value] = /^(\w+)=(.*)$/.exec(setting) ?? [];
      if (name === undefined) throw new LabRefusal(`${setting} is not name=value`);
      return [name, value ?? ''];
    }),
  );
  const run = await (await lab()).run(scenario, parameters);
  print(values.json ? JSON.stringify(run, null, 2) : textOf(run));
  return run.state === 'ended' && run.verdict?.holds ? 0 : 1;
}

async function open(file: string): Promise<number> {
  return print(await (await lab()).open(await jsonOf(file)));
}

async function jsonOf(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new LabRefusal(isMissing ? `there is no file ${file}` : `${file} cannot be read as JSON`);
  }
}

async function matrix(): Promise<number> {
  console.error('Running every design under every fault …');
  const { cells, holds } = await (await lab()).matrix();
  const { matrixTable } = await import('../lab/designs/matrix.js');
  print(values.json ? JSON.stringify(cells, null, 2) : matrixTable(cells));
  return holds ? 0 : 1;
}

/** Serves the designs on the PostgreSQL of the running `npm start`, or of DATABASE_URL. */
async function designs(): Promise<number> {
  const { DATABASE_URL = '' } = await commandEnvironment();
  const { addressesOf, serveDesigns } = await import('../lab/designs/serve.js');
  const hosts = await serveDesigns(DATABASE_URL, Number(values.port));
  print(addressesOf(hosts));
  await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
  await hosts.stop();
  return 0;
}

async function storm(): Promise<number> {
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  const client = await lab();
  const ticks: StormEvent[] = [];
  const run = await client.storm(seed, Number(values.purchases), (tick) => {
    ticks.push(tick);
    if (process.stderr.isTTY) process.stderr.write(`\r${stormProgress(ticks)}`);
  });
  if (process.stderr.isTTY) process.stderr.write('\n\n');
  print(values.json ? JSON.stringify(run, null, 2) : stormText(run, ticks, client.url));
  return run.verdict?.holds ? 0 : 1;
}

async function lab(): Promise<LabClient> {
  const { env } = process;
  const url = env.LAB_URL || (await labOfRunning(env));
  return new LabClient(url ?? `http://127.0.0.1:${env.LAB_PORT || 3002}`);
}

function print(text: string): number {
  console.log(text);
  return 0;
}
