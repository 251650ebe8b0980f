import { once } from 'node:events';
import type { AbandonLimits } from './charges/abandon.js';
import type { MailOptions } from './effects/mailer.js';
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
import type { StripeOptions } from './processor/stripe-processor.js';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** Shows a supervisor that a restart will not help. */
export const EXIT_CONFIGURATION = 78;

const DAY_SECONDS = 24 * 3600;

/** 20 of 24 hours. The rest covers clock differences and calls in flight. */
const SAFE_SHARE_OF_KEY_WINDOW = 20 / 24;

export type Config = ReturnType<typeof loadConfig>;

/**
 * Reads and checks all settings, once, at boot. No other module reads a setting from `process.env`, except the sandbox,
 * which is a separate program.
 * @throws ConfigurationError that names the variable and the repair.
 */
export function loadConfig(env: Env = process.env) {
  const production = env.NODE_ENV === 'production';
  const lab = flag(env, 'LAB');
  const allowUnsafeDatabase = flag(env, 'ALLOW_UNSAFE_DATABASE');
  if (production) refuseForTestsOnly(lab, allowUnsafeDatabase);
  const payments = processor(env);
  return {
    host: host(env),
    port: port(env, 'PORT', 3000),
    workerPort: port(env, 'WORKER_PORT', 3001),
    databaseUrl: databaseUrl(env),
    databasePoolSize: integer(env, 'DATABASE_POOL_SIZE', 10, 1, 1000),
    /** For tests only: runs on a server that may lose commits. */
    allowUnsafeDatabase,
    production,
    lab,
    ...ofTheLab(env),
    logLevel: oneOf(env, 'LOG_LEVEL', 'info', LOG_LEVELS),
    http: httpLimits(env),
    stopping: stopping(env),
    /** The limit of one account in each API process. */
    rateLimit: {
      perSecond: integer(env, 'RATE_LIMIT_PER_SECOND', 100, 1, 1_000_000),
      burst: integer(env, 'RATE_LIMIT_BURST', 200, 1, 1_000_000),
    },
    idempotency: idempotency(env, payments),
    abandonLimits: abandonLimits(env),
    jobs: jobs(env),
    webhooks: webhooks(env, production),
    mail: mail(env),
    processor: { ...payments, ...webhookSecret(env) },
  };
}

function refuseForTestsOnly(lab: boolean, allowUnsafeDatabase: boolean): void {
  if (lab) {
    throw new ConfigurationError(
      'LAB=1 is refused with NODE_ENV=production: the lab crashes the server on request. Unset LAB.',
    );
  }
  if (allowUnsafeDatabase) {
    throw new ConfigurationError(
      'ALLOW_UNSAFE_DATABASE=1 is refused with NODE_ENV=production: an acknowledged charge could be lost. Unset it.',
    );
  }
}

function ofTheLab(env: Env) {
  return {
    /** Where the lab's program listens. */
    labPort: port(env, 'LAB_PORT', 3002),
    /** The URL for people; `npm start` prints it. */
    ...(env.LAB_URL && { labUrl: url(env, 'LAB_URL', '', ['http:', 'https:']).href }),
    /** The file that API, worker and lab append a run's events to. */
    ...(env.LAB_JOURNAL && { labJournal: env.LAB_JOURNAL }),
  };
}

/** Time limits for slow clients, in ms. */
function httpLimits(env: Env) {
  return {
    headersTimeoutMs: integer(env, 'HTTP_HEADERS_TIMEOUT_MS', 10_000, 100, 300_000),
    requestTimeoutMs: integer(env, 'HTTP_REQUEST_TIMEOUT_MS', 30_000, 100, 300_000),
    keepAliveTimeoutMs: integer(env, 'HTTP_KEEP_ALIVE_TIMEOUT_MS', 65_000, 100, 3_600_000),
  };
}

function stopping(env: Env) {
  return {
    /** Between "not ready" and "no new connections", in ms: the time that a load balancer needs to notice. */
    drainDelayMs: integer(env, 'DRAIN_DELAY_MS', 0, 0, 300_000),
    /**
     * How long work in flight may take after that, in ms. Another process finishes what takes longer. Less than the
     * 10 s after which `npm start` and Docker send SIGKILL.
     */
    graceMs: integer(env, 'STOP_GRACE_MS', 9_000, 0, 300_000),
  };
}

function idempotency(env: Env, { timeoutMs }: StripeOptions) {
  return {
    waitMs: integer(env, 'IDEMPOTENCY_WAIT_MS', 5_000, 0, 30_000),
    ttlSeconds: integer(env, 'IDEMPOTENCY_TTL_SECONDS', 7 * DAY_SECONDS, 1, 365 * DAY_SECONDS),
    leaseMs: timeoutMs + SETTLE_MS,
    reapIntervalMs: integer(env, 'IDEMPOTENCY_REAP_INTERVAL_SECONDS', 60, 1, DAY_SECONDS) * 1000,
  };
}

function jobs(env: Env) {
  return {
    /** How many jobs of each pool run in parallel. */
    concurrency: integer(env, 'JOB_CONCURRENCY', 5, 1, 100),
    lockMs: integer(env, 'JOB_LOCK_SECONDS', 30, 1, 3_600) * 1000,
  };
}

function webhooks(env: Env, production: boolean) {
  return {
    /**
     * Endpoints must be https and public, because our server connects to URLs that merchants choose. http and loopback
     * are allowed only with the sandbox, whose merchants are on this machine.
     */
    publicOnly: production || Boolean(env.STRIPE_SECRET_KEY),
    timeoutMs: integer(env, 'WEBHOOK_TIMEOUT_MS', 10_000, 100, 15_000), // less than a delivery's lease, 20 s
    concurrency: integer(env, 'WEBHOOK_CONCURRENCY', 40, 1, 1_000),
  };
}

function mail(env: Env): MailOptions {
  return {
    from: env.MAIL_FROM || 'receipts@charge-once.invalid',
    ...(env.SMTP_URL && {
      smtpUrl: url(env, 'SMTP_URL', env.SMTP_URL, ['smtp:', 'smtps:']).toString(),
    }),
    directory: env.MAIL_DIR || '.data/mail',
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

function abandonLimits(env: Env): AbandonLimits {
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

function processor(env: Env): StripeOptions {
  // The lease is this + 2 s, so a large value delays recovery. If it is less than a card network needs, every charge
  // ends as `unknown`.
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

/** Removes PGSSLMODE and similar variables, which are meant for the user's server, not for the one that we start. */
export function ignorePgVariables(env: Env = process.env): void {
  for (const name of Object.keys(env)) if (/^PG[A-Z]/.test(name)) delete env[name];
}
