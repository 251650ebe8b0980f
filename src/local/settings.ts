import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { loadConfig } from '../config.js';
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
  const sandboxWanted = !env.STRIPE_SECRET_KEY && !env.PROCESSOR_URL;
  const labWanted = lab === '1' && sandboxWanted;
  const secrets = sandboxWanted ? webhookSecrets(env) : {};
  const config = loadConfig({
    ...env,
    ...secrets,
    LAB: lab,
    DATABASE_URL: databaseUrl ?? 'postgres://embedded',
  });

  // 0 means any free port. We choose it here, because the other processes and the user need to know it.
  const used = new Set<number>();
  const chosen = async (wanted: number, host: string) => {
    let port = wanted;
    while (port === 0 || (wanted === 0 && used.has(port))) port = await freePort(host);
    used.add(port);
    return port;
  };
  const ports = {
    PORT: await chosen(config.port, config.host),
    WORKER_PORT: await chosen(config.workerPort, config.host),
    // `loadConfig` has checked the number as part of the processor's address.
    SANDBOX_PORT: sandboxWanted ? await chosen(Number(env.SANDBOX_PORT || 4242), LOOPBACK) : 0,
    // The lab judges its runs by the sandbox's ledger, so it needs the sandbox.
    LAB_PORT: labWanted ? await chosen(config.labPort, config.host) : 0,
  };
  await checkPort('PORT', ports.PORT, config.host);
  await checkPort('WORKER_PORT', ports.WORKER_PORT, config.host);
  if (sandboxWanted) await checkPort('SANDBOX_PORT', ports.SANDBOX_PORT, LOOPBACK);
  if (labWanted) await checkPort('LAB_PORT', ports.LAB_PORT, config.host);
  const numbers = Object.entries(ports).filter(
    ([name]) => (name !== 'SANDBOX_PORT' || sandboxWanted) && (name !== 'LAB_PORT' || labWanted),
  );
  for (const [i, [name, port]] of numbers.entries()) {
    const same = numbers.slice(0, i).find(([, other]) => other === port);
    if (same) throw new ConfigurationError(`${same[0]} and ${name} are both ${port}; change one.`);
  }

  const urlOf = (port: number, host: string) => `http://${reachable(host)}:${port}`;
  const api = urlOf(ports.PORT, config.host);
  const notifications = {
    ...secrets,
    SANDBOX_WEBHOOK_URL: env.SANDBOX_WEBHOOK_URL || `${api}/webhooks/processor`,
    // Later than the answer, or the 504 that replaces it, so that a person who tries a fault sees the answer first.
    SANDBOX_WEBHOOK_DELAY_MS:
      env.SANDBOX_WEBHOOK_DELAY_MS || String(config.processor.timeoutMs + AFTER_THE_ANSWER_MS),
  };
  const labUrl = labWanted ? urlOf(ports.LAB_PORT, config.host) : undefined;
  const labJournal = labWanted
    ? join(resolve(env.DATA_DIR || '.data'), 'lab', `journal-${process.pid}.ndjson`)
    : undefined;
  return {
    urls: {
      lab: labUrl,
      api,
      worker: urlOf(ports.WORKER_PORT, config.host),
      sandbox: sandboxWanted ? urlOf(ports.SANDBOX_PORT, LOOPBACK) : undefined,
    },
    env: {
      ...env,
      LAB: lab,
      PORT: String(ports.PORT),
      WORKER_PORT: String(ports.WORKER_PORT),
      ...(labWanted && {
        LAB_PORT: String(ports.LAB_PORT),
        LAB_URL: labUrl,
        LAB_JOURNAL: labJournal,
      }),
      ...(sandboxWanted ? { SANDBOX_PORT: String(ports.SANDBOX_PORT), ...notifications } : {}),
    },
    databaseUrl: databaseUrl && config.databaseUrl,
    dataDir: join(resolve(env.DATA_DIR || '.data'), 'postgres'),
    runningFolder: runningFolder(env),
    lab: config.lab,
    labJournal,
    demoAccounts: !config.production && config.processor.name !== 'stripe_live',
    pidsFile: env.CHARGE_ONCE_PIDS_FILE || undefined,
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

/** Checked before anything starts. So a start that cannot succeed fails at once, and changes no database. */
async function checkPort(name: string, port: number, host: string): Promise<void> {
  const reason = await bindError(port, host);
  if (reason === undefined) return;
  throw new ConfigurationError(
    reason === 'EADDRINUSE'
      ? `Port ${port} (${name}) is taken; stop what listens there or set ${name}=…`
      : `Nothing can listen on port ${port} (${name}) of ${host}: ${reason}. Set ${name} or HOST to something else.`,
  );
}

/** The address to call for an address to listen on. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return LOOPBACK;
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
