import { isIP } from 'node:net';

// Each function reads one environment variable. An error names the variable and says what to set, on one line.

export type Env = Record<string, string | undefined>;

/** A wrong or missing setting. Printed as one line; exit code 78 (EX_CONFIG of sysexits.h). */
export class ConfigurationError extends Error {}

export function url(env: Env, name: string, fallback: string, protocols: string[]): URL {
  const value = env[name] || fallback;
  const parsed = URL.canParse(value) ? new URL(value) : undefined;
  if (!parsed || !protocols.includes(parsed.protocol) || !isDecodable(value)) {
    // The value may contain a password, so it is not repeated here.
    throw new ConfigurationError(
      `${name} is not a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}. Write a special character in a password as %25 and so on.`,
    );
  }
  return parsed;
}

/** An unescaped `%` in a password would change the password that PostgreSQL gets. */
function isDecodable(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}

export function integer(
  env: Env,
  name: string,
  fallback: number,
  min: number,
  max: number,
): number {
  const value = env[name];
  if (value === undefined || value === '') return fallback;
  const parsed = /^\d+$/.test(value) ? Number(value) : NaN;
  if (!(parsed >= min && parsed <= max)) {
    throw new ConfigurationError(
      `${name}=${value} is not a whole number from ${min} to ${max}. Leave it unset for ${fallback}.`,
    );
  }
  return parsed;
}

export function port(env: Env, name: string, fallback: number): number {
  return integer(env, name, fallback, 0, 65_535);
}

export function host(env: Env): string {
  const value = env.HOST || '127.0.0.1';
  if (isIP(value) === 0 && !/^[A-Za-z0-9.-]+$/.test(value)) {
    throw new ConfigurationError(
      `HOST=${value} is neither an address nor a name. Set 127.0.0.1 for this machine only or 0.0.0.0 for all, without a port.`,
    );
  }
  return value;
}

export function oneOf<T extends string>(
  env: Env,
  name: string,
  fallback: T,
  allowed: readonly T[],
): T {
  const value = env[name] || fallback;
  const found = allowed.find((each) => each === value);
  if (found === undefined) {
    throw new ConfigurationError(`${name}=${value} is not one of ${allowed.join(', ')}.`);
  }
  return found;
}

export function flag(env: Env, name: string): boolean {
  const value = env[name] ?? '';
  if (!['', '0', '1'].includes(value)) {
    throw new ConfigurationError(
      `${name}=${value} is neither 0 nor 1. Set ${name}=1 or leave it unset.`,
    );
  }
  return value === '1';
}
