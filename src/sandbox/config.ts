import { once } from 'node:events';

/** What the sandbox needs to know before it starts. Times carry their unit in the name. */
export interface SandboxConfig {
  databaseUrl: string;
  /** 0 takes a free port. */
  port: number;
  host: string;
  /** How long a stored answer is remembered, from the moment it was stored, in seconds. */
  keyTtlSeconds: number;
  /** Absent: no event is sent. */
  webhook?: WebhookConfig;
}

/** Where events go, and how badly. */
export interface WebhookConfig {
  url: string;
  secret: string;
  /** Between what happened and the first attempt to tell it. */
  delayMs: number;
  /** Up to so much is added to the delay, for each event another amount: they arrive out of order. */
  shuffleMs: number;
  /** How often each event is sent at once. */
  copies: number;
}

/** A variable is missing or makes no sense; the message names it and is fit to print as it is. */
export class SandboxConfigError extends Error {}

const DAY_SECONDS = 24 * 60 * 60;
const YEAR_SECONDS = 365 * DAY_SECONDS;

/** The environment of this process; `npm start` completes it by a message as soon as the database is there. */
export async function ownEnvironment(): Promise<NodeJS.ProcessEnv> {
  if (!process.argv.includes('env-by-message') || !process.connected) return process.env;
  const [later] = (await once(process, 'message')) as [NodeJS.ProcessEnv];
  return { ...process.env, ...later };
}

/**
 * Reads the configuration from the environment. This is the only place of the sandbox that does.
 * @throws SandboxConfigError naming the variable and the mend
 */
export function readSandboxConfig(env: NodeJS.ProcessEnv = process.env): SandboxConfig {
  const databaseUrl = env.SANDBOX_DATABASE_URL || env.DATABASE_URL;
  if (!databaseUrl) {
    throw new SandboxConfigError(
      'SANDBOX_DATABASE_URL (or DATABASE_URL) is missing: set it to a PostgreSQL URL, postgres://user@host:5432/database',
    );
  }
  return {
    databaseUrl: withPgOptions(databaseUrl, env.PGOPTIONS),
    port: integer(env, 'SANDBOX_PORT', 4242, 0, 65_535),
    host: env.HOST || '127.0.0.1',
    keyTtlSeconds: integer(env, 'SANDBOX_KEY_TTL_SECONDS', DAY_SECONDS, 1, YEAR_SECONDS),
    webhook: readWebhook(env),
  };
}

/** `pg` reads PGOPTIONS only where it is given no options, and the ledger always has some: it adds them to these. */
function withPgOptions(databaseUrl: string, options: string | undefined): string {
  if (!options || !URL.canParse(databaseUrl)) return databaseUrl;
  const url = new URL(databaseUrl);
  if (!url.searchParams.has('options')) url.searchParams.set('options', options);
  return url.href;
}

function readWebhook(env: NodeJS.ProcessEnv): WebhookConfig | undefined {
  const numbers = {
    // Longer than the client of a payment waits for its answer (PROCESSOR_TIMEOUT_MS), so that the answer is first.
    delayMs: integer(env, 'SANDBOX_WEBHOOK_DELAY_MS', 8_500, 0, DAY_SECONDS * 1000),
    shuffleMs: integer(env, 'SANDBOX_WEBHOOK_SHUFFLE_MS', 0, 0, DAY_SECONDS * 1000),
    copies: integer(env, 'SANDBOX_WEBHOOK_COPIES', 1, 1, 100),
  };
  const url = env.SANDBOX_WEBHOOK_URL;
  const secret = env.SANDBOX_WEBHOOK_SECRET;
  if (!url) return undefined;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new SandboxConfigError(
      'SANDBOX_WEBHOOK_URL must be a URL that begins with http:// or https://',
    );
  }
  if (!secret) {
    throw new SandboxConfigError(
      'SANDBOX_WEBHOOK_SECRET is missing: set it to the PROCESSOR_WEBHOOK_SECRET of whoever listens at SANDBOX_WEBHOOK_URL',
    );
  }
  return { url, secret, ...numbers };
}

function integer(
  env: NodeJS.ProcessEnv,
  name: string,
  fallback: number,
  min: number,
  max: number,
): number {
  const text = env[name];
  if (!text) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new SandboxConfigError(`${name} must be a whole number from ${min} to ${max}`);
  }
  return value;
}
