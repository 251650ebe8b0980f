import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ignorePgVariables } from '../config.js';
import { ConfigurationError } from '../environment/environment.js';
import { commandLine } from './processes.js';

// Records which `npm start` processes use a DATA_DIR: each has a file there, named after its pid, while it runs.
// Commands find the database in it, and the last process to stop also stops PostgreSQL. Proof:
// test/local/commands.spec.ts.

/** What a command needs to connect to a running `npm start`. The file contains the password, so its mode is 0600. */
interface State {
  ready: boolean;
  databaseUrl: string;
  urls: { sandbox?: string; lab?: string };
}

export function runningFolder(env: NodeJS.ProcessEnv): string {
  return join(resolve(env.DATA_DIR || '.data'), 'running');
}

/** The files of other live `npm start` processes. A killed process leaves its file behind. */
export async function othersRunning(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of namesIn(folder)) {
    if (name.endsWith('.json') && (await isAnother(name))) found.push(join(folder, name));
  }
  return found;
}

/** Creates the folder, removes files of dead processes, and returns the path for our file. */
export async function runningFile(folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of namesIn(folder))
    if (!(await isAnother(name))) rmSync(join(folder, name), { force: true });
  return join(folder, `${process.pid}.json`);
}

/** The programs that run a stack: `npm start` and `npm run dev`. */
const STACKS = /\blocal\.js\b|\bbuild\/dev\.mjs\b/;

/** The pid alone proves nothing: another program may have it now. */
async function isAnother(name: string): Promise<boolean> {
  const pid = Number.parseInt(name);
  return pid !== process.pid && STACKS.test((await commandLine(pid)) ?? '');
}

/**
 * The environment of a command. Without DATABASE_URL the command uses the running `npm start`: its database, and its
 * sandbox unless a processor is set.
 * @throws ConfigurationError if none runs, or it is not ready.
 */
export async function commandEnvironment(
  env: NodeJS.ProcessEnv = process.env,
): Promise<NodeJS.ProcessEnv> {
  if (env.DATABASE_URL) return env;
  const folder = runningFolder(env);
  const [file] = await othersRunning(folder);
  if (file === undefined) {
    throw new ConfigurationError(
      `DATABASE_URL is not set, and no \`npm start\` with its own PostgreSQL runs on ${folder}. Start it, set the DATA_DIR that it was started with, or set DATABASE_URL=postgres://user:password@host:5432/database.`,
    );
  }
  const state = read(file);
  if (!state?.ready) {
    throw new ConfigurationError('`npm start` is not ready yet. Try again when it prints "Ready".');
  }
  ignorePgVariables(env);
  return {
    ...env,
    DATABASE_URL: state.databaseUrl,
    ...(env.PROCESSOR_URL || !state.urls.sandbox ? {} : { PROCESSOR_URL: state.urls.sandbox }),
  };
}

/** The URL of the lab of the running `npm start`; undefined if none runs, or if it has no lab. */
export async function labOfRunning(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const [file] = await othersRunning(runningFolder(env));
  return file === undefined ? undefined : read(file)?.urls.lab;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Undefined if the process has ended meanwhile. */
function read(file: string): State | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as State;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code !== 'EACCES') throw error;
    throw new ConfigurationError(
      `${file} belongs to the user who ran \`npm start\`. Run the command as that user, or set DATABASE_URL.`,
    );
  }
}
