import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { loadConfig, type Config } from '../config.js';
import { ConfigurationError } from '../environment/environment.js';
import { runningFolder } from './running.js';
import { freePort, bindError } from './ports.js';

// Decides which processes `npm start` starts and where they listen. Each process reads its other settings itself.

export interface LocalSettings {
  /** Base URLs without a trailing slash; no sandbox if charges go to another processor. */
  urls: { api: string; worker: string; sandbox: string | undefined; lab: string | undefined };
  /** The environment of the children, besides DATABASE_URL. */
  env: NodeJS.ProcessEnv;
  /** The server to use; undefined: start our own. */
  databaseUrl: string | undefined;
  dataDir: string;
  /** Where each `npm start` with its own PostgreSQL records that it runs. */
  runningFolder: string;
  lab: boolean;
  /** The journal of the lab's runs; set if the lab's own program runs. */
  labJournal: string | undefined;
  /**
   * Their keys are in the README, so they must not exist where real cards are charged, nor with NODE_ENV=production.
   */
  demoAccounts: boolean;
  /** A file for pids and URLs as JSON, for programs that start us. */
  pidsFile: string | undefined;
}

/** @throws ConfigurationError with one line that names the variable and the repair. */
export async function localSettings(env: NodeJS.ProcessEnv): Promise<LocalSettings> {
  const lab = env.LAB || '1';
  if (env.NODE_ENV === 'production' && lab === '1') {
    throw new ConfigurationError(
      '`npm start` is the local teaching set-up with the lab, which NODE_ENV=production refuses. Unset NODE_ENV, or set LAB=0, or run dist/src/programs/api.js and dist/src/programs/worker.js yourself.',
    );
  }
  const databaseUrl = env.DATABASE_URL || undefined;
  const dataDir = resolve(env.DATA_DIR || '.data');
  const sandboxWanted = !env.STRIPE_SECRET_KEY && !env.PROCESSOR_URL;
  const secrets = sandboxWanted ? webhookSecrets(env) : {};
  const config = loadConfig({
    ...env,
    ...secrets,
    LAB: lab,
    DATABASE_URL: databaseUrl ?? 'postgres://embedded',
  });
  // The lab judges its runs by the sandbox's ledger, so it needs the sandbox.
  const listeners = await listenersOf(env, config, sandboxWanted, sandboxWanted && config.lab);
  const urls = {
    api: urlOf(listeners.PORT),
    worker: urlOf(listeners.WORKER_PORT),
    sandbox: listeners.SANDBOX_PORT && urlOf(listeners.SANDBOX_PORT),
    lab: listeners.LAB_PORT && urlOf(listeners.LAB_PORT),
  };
  const labJournal = urls.lab && join(dataDir, 'lab', `journal-${process.pid}.ndjson`);
  return {
    urls,
    env: {
      ...env,
      LAB: lab,
      ...Object.fromEntries(entriesOf(listeners).map(([name, { port }]) => [name, String(port)])),
      ...(urls.lab && { LAB_URL: urls.lab, LAB_JOURNAL: labJournal }),
      ...(urls.sandbox && { ...secrets, ...notifications(env, config, urls.api) }),
    },
    databaseUrl: databaseUrl && config.databaseUrl,
    dataDir: join(dataDir, 'postgres'),
    runningFolder: runningFolder(env),
    lab: config.lab,
    labJournal,
    demoAccounts: !config.production && config.processor.name !== 'stripe_live',
    pidsFile: env.CHARGE_ONCE_PIDS_FILE || undefined,
  };
}

interface Listener {
  host: string;
  port: number;
}

/** Each listener, by the variable that sets its port. */
interface Listeners {
  PORT: Listener;
  WORKER_PORT: Listener;
  SANDBOX_PORT?: Listener;
  LAB_PORT?: Listener;
}

/** Where each process listens. @throws ConfigurationError if one cannot. */
async function listenersOf(
  env: NodeJS.ProcessEnv,
  { host, port, workerPort, labPort }: Config,
  sandboxWanted: boolean,
  labWanted: boolean,
): Promise<Listeners> {
  const listeners: Listeners = {
    PORT: { host, port },
    WORKER_PORT: { host, port: workerPort },
    // `loadConfig` has checked the number as part of the processor's address.
    ...(sandboxWanted && {
      SANDBOX_PORT: { host: LOOPBACK, port: Number(env.SANDBOX_PORT || 4242) },
    }),
    ...(labWanted && { LAB_PORT: { host, port: labPort } }),
  };
  const all = entriesOf(listeners);
  await choosePorts(all.map(([, listener]) => listener));
  for (const [name, listener] of all) await checkPort(name, listener);
  for (const [i, [name, { port }]] of all.entries()) {
    const same = all.slice(0, i).find(([, other]) => other.port === port);
    if (same) throw new ConfigurationError(`${same[0]} and ${name} are both ${port}; change one.`);
  }
  return listeners;
}

function entriesOf(listeners: Listeners): [name: string, listener: Listener][] {
  return Object.entries(listeners);
}

/** 0 means any free port. We choose it here, because the other processes and the user need to know it. */
async function choosePorts(listeners: Listener[]): Promise<void> {
  const used = new Set<number>();
  for (const listener of listeners) {
    const isFree = listener.port === 0;
    while (isFree && (listener.port === 0 || used.has(listener.port)))
      listener.port = await freePort(listener.host);
    used.add(listener.port);
  }
}

/** The settings of the sandbox's notifications. */
function notifications(env: NodeJS.ProcessEnv, { processor }: Config, apiUrl: string) {
  return {
    SANDBOX_WEBHOOK_URL: env.SANDBOX_WEBHOOK_URL || `${apiUrl}/webhooks/processor`,
    // Later than the answer, or the 504 that replaces it, so that a person who tries a fault sees the answer first.
    SANDBOX_WEBHOOK_DELAY_MS:
      env.SANDBOX_WEBHOOK_DELAY_MS || String(processor.timeoutMs + AFTER_THE_ANSWER_MS),
  };
}

const LOOPBACK = '127.0.0.1';

/** Shorter than the sweep's first pause, so that the notification settles a lost answer, as with Stripe. */
const AFTER_THE_ANSWER_MS = 500;

/** One secret for both sides, new at each start unless the user sets one. */
function webhookSecrets(env: NodeJS.ProcessEnv) {
  const ours = env.PROCESSOR_WEBHOOK_SECRET || env.SANDBOX_WEBHOOK_SECRET;
  const secret = ours || `whsec_${randomBytes(24).toString('base64url')}`;
  return {
    PROCESSOR_WEBHOOK_SECRET: env.PROCESSOR_WEBHOOK_SECRET || secret,
    SANDBOX_WEBHOOK_SECRET: env.SANDBOX_WEBHOOK_SECRET || secret,
  };
}

/** Called before anything starts: a start that cannot succeed fails immediately, and changes no database. */
async function checkPort(name: string, { host, port }: Listener): Promise<void> {
  const reason = await bindError(port, host);
  if (reason === undefined) return;
  throw new ConfigurationError(
    reason === 'EADDRINUSE'
      ? `Port ${port} (${name}) is taken; stop what listens there or set ${name}=…`
      : `Nothing can listen on port ${port} (${name}) of ${host}: ${reason}. Set ${name} or HOST to something else.`,
  );
}

function urlOf({ host, port }: Listener): string {
  return `http://${reachable(host)}:${port}`;
}

/** The address at which clients reach a program that listens on `host`. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return LOOPBACK;
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
