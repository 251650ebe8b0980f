import { once } from 'node:events';
import { SETTLE_MS } from './idempotency/engine-options.js';
import {
  ConfigurationError,
  flag,
  host,
  integer,
  oneOf,
  port,
  url,
  type Env,
} from './environment/environment.js';

/**
 * The only reader of `process.env`; the sandbox, a separate program, has its own. Everything is checked once, at
 * boot. An error names the variable and the repair.
 */
export interface Config {
  host: string;
  port: number;
  workerPort: number;
  databaseUrl: string;
  databasePoolSize: number;
  /** For tests only: runs on a server that may lose commits. */
  allowUnsafeDatabase: boolean;
  production: boolean;
  lab: boolean;
  /** Of the lab's own program. */
  labPort: number;
  /** The URL for people; `npm start` prints it. */
  labUrl?: string;
  /** The file that API, worker and lab append a run's events to. */
  labJournal?: string;
  logLevel: LogLevel;
  /** Time limits for slow clients, in ms. */
  http: { headersTimeoutMs: number; requestTimeoutMs: number; keepAliveTimeoutMs: number };
  stopping: {
    /** Between "not ready" and "no new connections", in ms: the time that a load balancer needs to notice. */
    drainDelayMs: number;
    /** For work in flight after that, in ms. Another process finishes what takes longer. */
    graceMs: number;
  };
  /** The limit of one account in each API process. */
  rateLimit: { perSecond: number; burst: number };
  idempotency: { waitMs: number; ttlSeconds: number; leaseMs: number; reapIntervalMs: number };
  abandonLimits: { deadlineMs: number; keyWindowMs: number };
  /** Concurrent jobs of each kind. */
  jobs: {
    concurrency: Record<'database' | 'mail' | 'processor', number>;
    lockMs: number;
  };
  /**
   * `publicOnly`: endpoints must be https and public, because our server connects to URLs that merchants choose. http
   * and loopback are allowed only with the sandbox, whose merchants are on this machine.
   */
  webhooks: { publicOnly: boolean; timeoutMs: number; concurrency: number };
  mail: { from: string; smtpUrl?: string; directory: string };
  processor: {
    /**
     * `sandbox`, `stripe_test` or `stripe_live`: stored on each charge. Only the processor with this name finishes
     * it.
     */
    name: string;
    secretKey: string;
    /** Absent: Stripe itself. */
    baseUrl?: URL;
    timeoutMs: number;
    /** Signs the processor's notifications. Absent: all are refused. */
    webhookSecret?: string;
  };
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** For a supervisor: a restart will not help. */
export const EXIT_CONFIGURATION = 78;

const DAY_SECONDS = 24 * 3600;

/** 20 of 24 hours. The rest covers clock differences and calls in flight. */
const SAFE_SHARE_OF_KEY_WINDOW = 20 / 24;

/**
 * Reads and checks the configuration.
 * @throws ConfigurationError that names the variable and the repair.
 */
export function loadConfig(env: Env = process.env): Config {
  const production = env.NODE_ENV === 'production';
  const lab = flag(env, 'LAB');
  if (production && lab) {
    throw new ConfigurationError(
      'LAB=1 is refused with NODE_ENV=production: the lab crashes the server on request. Unset LAB.',
    );
  }
  const allowUnsafeDatabase = flag(env, 'ALLOW_UNSAFE_DATABASE');
  if (production && allowUnsafeDatabase) {
    throw new ConfigurationError(
      'ALLOW_UNSAFE_DATABASE=1 is refused with NODE_ENV=production: an acknowledged charge could be lost. Unset it.',
    );
  }
  const payments = processor(env);
  const jobConcurrency = integer(env, 'JOB_CONCURRENCY', 5, 1, 100);
  return {
    host: host(env),
    port: port(env, 'PORT', 3000),
    workerPort: port(env, 'WORKER_PORT', 3001),
    databaseUrl: databaseUrl(env),
    databasePoolSize: integer(env, 'DATABASE_POOL_SIZE', 10, 1, 1000),
    allowUnsafeDatabase,
    production,
    lab,
    labPort: port(env, 'LAB_PORT', 3002),
    ...(env.LAB_URL && { labUrl: url(env, 'LAB_URL', '', ['http:', 'https:']).href }),
    ...(env.LAB_JOURNAL && { labJournal: env.LAB_JOURNAL }),
    logLevel: oneOf(env, 'LOG_LEVEL', 'info', LOG_LEVELS),
    http: {
      headersTimeoutMs: integer(env, 'HTTP_HEADERS_TIMEOUT_MS', 10_000, 100, 300_000),
      requestTimeoutMs: integer(env, 'HTTP_REQUEST_TIMEOUT_MS', 30_000, 100, 300_000),
      keepAliveTimeoutMs: integer(env, 'HTTP_KEEP_ALIVE_TIMEOUT_MS', 65_000, 100, 3_600_000),
    },
    stopping: {
      drainDelayMs: integer(env, 'DRAIN_DELAY_MS', 0, 0, 300_000),
      // Less than the 10 s after which `npm start` and Docker send SIGKILL.
      graceMs: integer(env, 'STOP_GRACE_MS', 9_000, 0, 300_000),
    },
    rateLimit: {
      perSecond: integer(env, 'RATE_LIMIT_PER_SECOND', 100, 1, 1_000_000),
      burst: integer(env, 'RATE_LIMIT_BURST', 200, 1, 1_000_000),
    },
    idempotency: {
      waitMs: integer(env, 'IDEMPOTENCY_WAIT_MS', 5_000, 0, 30_000),
      ttlSeconds: integer(env, 'IDEMPOTENCY_TTL_SECONDS', 7 * 24 * 3600, 1, 365 * 24 * 3600),
      leaseMs: payments.timeoutMs + SETTLE_MS,
      reapIntervalMs: integer(env, 'IDEMPOTENCY_REAP_INTERVAL_SECONDS', 60, 1, 86_400) * 1000,
    },
    abandonLimits: abandonLimits(env),
    jobs: {
      concurrency: {
        database: jobConcurrency,
        mail: jobConcurrency,
        processor: jobConcurrency,
      },
      lockMs: integer(env, 'JOB_LOCK_SECONDS', 30, 1, 3_600) * 1000,
    },
    webhooks: {
      publicOnly: production || Boolean(env.STRIPE_SECRET_KEY),
      timeoutMs: integer(env, 'WEBHOOK_TIMEOUT_MS', 10_000, 100, 15_000), // less than a delivery's lease, 20 s
      concurrency: integer(env, 'WEBHOOK_CONCURRENCY', 40, 1, 1_000),
    },
    mail: {
      from: env.MAIL_FROM || 'receipts@charge-once.invalid',
      ...(env.SMTP_URL && {
        smtpUrl: url(env, 'SMTP_URL', env.SMTP_URL, ['smtp:', 'smtps:']).toString(),
      }),
      directory: env.MAIL_DIR || '.data/mail',
    },
    processor: { ...payments, ...webhookSecret(env) },
  };
}

/**
 * The environment of this process. `npm start` sends the rest in a message as soon as the program's dependencies are
 * ready.
 */
export async function ownEnvironment(): Promise<NodeJS.ProcessEnv> {
  if (process.argv.includes('env-by-message') && process.connected) {
    const [later] = (await once(process, 'message')) as [NodeJS.ProcessEnv];
    Object.assign(process.env, later);
  }
  return process.env;
}

function abandonLimits(env: Env): Config['abandonLimits'] {
  const deadline = integer(env, 'CHARGE_DEADLINE_SECONDS', 300, 1, 3_600);
  // Stripe remembers a key for at least 24 hours, the sandbox for as long as it is configured.
  const remembered = env.STRIPE_SECRET_KEY
    ? DAY_SECONDS
    : integer(env, 'SANDBOX_KEY_TTL_SECONDS', DAY_SECONDS, 1, 365 * DAY_SECONDS);
  const safe = remembered * SAFE_SHARE_OF_KEY_WINDOW;
  const window = integer(env, 'PROCESSOR_KEY_WINDOW_SECONDS', safe, 0, 23 * 3600);
  if (window >= remembered) {
    throw new ConfigurationError(
      `PROCESSOR_KEY_WINDOW_SECONDS=${window} is not less than the ${remembered} s for which the processor remembers a key: a repeat after that is a new payment. Leave it unset for ${Math.floor(safe)}.`,
    );
  }
  return { deadlineMs: deadline * 1000, keyWindowMs: window * 1000 };
}

/**
 * There is no default: with a secret from a public repository anyone could mark charges as paid. Without a secret the
 * route refuses every notification; charges are settled without them.
 */
function webhookSecret(env: Env): { webhookSecret?: string } {
  const secret = env.PROCESSOR_WEBHOOK_SECRET ?? '';
  if (secret === '') return {};
  if (!/^\S{16,}$/.test(secret)) {
    throw new ConfigurationError(
      `PROCESSOR_WEBHOOK_SECRET contains white space, or has fewer than 16 characters. Set the signing secret that Stripe shows for the endpoint, whsec_…; for the sandbox, set the same random text as in SANDBOX_WEBHOOK_SECRET.`,
    );
  }
  return { webhookSecret: secret };
}

function processor(env: Env): Config['processor'] {
  // The lease is this + 2 s, so a large value delays recovery. With less than a card network needs, every charge ends
  // as `unknown`.
  const timeoutMs = integer(env, 'PROCESSOR_TIMEOUT_MS', 8_000, 100, 60_000);
  const secretKey = env.STRIPE_SECRET_KEY ?? '';
  const allowLive = flag(env, 'ALLOW_LIVE');
  if (secretKey === '') {
    const fallback = `http://127.0.0.1:${port(env, 'SANDBOX_PORT', 4242)}`;
    const baseUrl = url(env, 'PROCESSOR_URL', fallback, ['http:', 'https:']);
    return { name: 'sandbox', secretKey: 'sk_test_sandbox', baseUrl, timeoutMs };
  }
  if (secretKey.startsWith('sk_live_') || secretKey.startsWith('rk_live_')) {
    if (!allowLive) {
      throw new ConfigurationError(
        'STRIPE_SECRET_KEY is a live key: real cards would be charged. Use a test key (sk_test_…), or set ALLOW_LIVE=1 to allow that.',
      );
    }
    return { name: 'stripe_live', secretKey, timeoutMs };
  }
  if (!/^[sr]k_test_\S+$/.test(secretKey)) {
    throw new ConfigurationError(
      'STRIPE_SECRET_KEY is not a Stripe secret key. It begins with sk_test_; leave it unset to use the local sandbox.',
    );
  }
  return { name: 'stripe_test', secretKey, timeoutMs };
}

function databaseUrl(env: Env): string {
  const value = env.DATABASE_URL ?? '';
  if (value === '') {
    throw new ConfigurationError(
      'DATABASE_URL is not set. Set it to postgres://user:password@host:5432/database, or run `npm start`, which starts its own PostgreSQL.',
    );
  }
  const target = url(env, 'DATABASE_URL', value, ['postgres:', 'postgresql:']);
  // `pg` reads PGOPTIONS only if no options are set, and `connectionTarget` always sets some.
  if (env.PGOPTIONS && !target.searchParams.has('options'))
    target.searchParams.set('options', env.PGOPTIONS);
  return target.toString();
}

/** Removes PGSSLMODE and the like, which are meant for the user's own server, not for the one that we start. */
export function ignorePgVariables(env: Env = process.env): void {
  for (const name of Object.keys(env)) if (/^PG[A-Z]/.test(name)) delete env[name];
}
