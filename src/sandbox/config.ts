import { once } from 'node:events';

/** The sandbox's settings. Each time has its unit in its name. */
export interface SandboxConfig {
  databaseUrl: string;
  /** 0 takes a free port. */
  port: number;
  host: string;
  /** How long a stored answer is kept, from the moment it was stored, in seconds. */
  keyTtlSeconds: number;
  /** Absent: events are not sent. */
  webhook?: WebhookConfig;
}

/** Where events are sent, and which faults the delivery has. */
export interface WebhookConfig {
  url: string;
  secret: string;
  /** From the event to the first attempt to send it. */
  delayMs: number;
  /** A random addition to each delay, up to this value, so that events arrive out of order. */
  shuffleMs: number;
  /** How many copies of each event are sent together. */
  copies: number;
}

/** A variable is missing or invalid. The message names it and can be printed unchanged. */
export class SandboxConfigError extends Error {}

const DAY_SECONDS = 24 * 60 * 60;
const YEAR_SECONDS = 365 * DAY_SECONDS;

/** The environment of this process. Under `npm start` it waits for the rest, sent when the database is ready. */
export async function ownEnvironment(): Promise<NodeJS.ProcessEnv> {
  if (!process.argv.includes('env-by-message') || !process.connected) return process.env;
  const [later] = (await once(process, 'message')) as [NodeJS.ProcessEnv];
  return { ...process.env, ...later };
}

/**
 * Reads the settings. No other file of the sandbox reads the environment.
 * @throws SandboxConfigError that names the variable and the repair
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

/**
 * `pg` reads PGOPTIONS only if no options are set. The ledger always sets some, so PGOPTIONS must be added to the
 * URL.
 */
function withPgOptions(databaseUrl: string, options: string | undefined): string {
  if (!options || !URL.canParse(databaseUrl)) return databaseUrl;
  const url = new URL(databaseUrl);
  if (!url.searchParams.has('options')) url.searchParams.set('options', options);
  return url.href;
}

function readWebhook(env: NodeJS.ProcessEnv): WebhookConfig | undefined {
  const numbers = {
    // Longer than the client waits for its answer (PROCESSOR_TIMEOUT_MS), so that the answer comes first.
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
      'SANDBOX_WEBHOOK_SECRET is missing: set it to the PROCESSOR_WEBHOOK_SECRET of the server at SANDBOX_WEBHOOK_URL',
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
