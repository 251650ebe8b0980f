import { createHash } from 'node:crypto';
import type { RequestParamHandler } from 'express';
import { invalidRequest, missingParameter, missingPart, noSuch } from './stripe.errors.js';

// Stripe's own limits: docs.stripe.com/api/metadata.
const METADATA_MAX_PAIRS = 50;
const METADATA_MAX_NAME = 40;
const METADATA_MAX_VALUE = 500;
const TEXT_MAX = 5_000;

/**
 * The parameters of one request, from a form body or a query string, kept flat: `created[gte]` is a name, not a path
 * into an object. So no input can build a deep object or reach a prototype. Of a repeated scalar the last value
 * counts.
 */
export class Params {
  private constructor(private readonly pairs: readonly (readonly [string, string])[]) {}

  /** @throws StripeError 400 for a NUL, which PostgreSQL cannot store in text */
  static parse(encoded: string): Params {
    const pairs = [...new URLSearchParams(encoded)];
    if (pairs.some(([name, value]) => name.includes('\0') || value.includes('\0'))) {
      throw invalidRequest('Invalid request: parameters must not contain null bytes.');
    }
    return new Params(pairs);
  }

  /** From the query string of a request's path. */
  static ofQuery(originalUrl: string): Params {
    const start = originalUrl.indexOf('?');
    return Params.parse(start < 0 ? '' : originalUrl.slice(start + 1));
  }

  /**
   * Refuses parameters that Stripe has but the sandbox lacks, nested or not.
   * @throws StripeError 400
   */
  without(missing: Readonly<Record<string, unknown>>): this {
    for (const [name] of this.pairs) {
      const [base = ''] = name.split('[', 1);
      if (Object.hasOwn(missing, base)) throw missingPart(400, `the parameter ${base}`, name);
    }
    return this;
  }

  /**
   * Refuses every parameter that is not listed. `x[]` allows a list, `x[*]` a hash.
   * @throws StripeError 400 `parameter_unknown`, or for a single value instead of a list
   */
  only(...allowed: string[]): this {
    for (const [name] of this.pairs) {
      if (allowed.includes(`${name}[]`)) throw invalidRequest('Invalid array', name);
      const hash = /^([^[\]]+)\[[^[\]]+\]$/.exec(name)?.[1];
      if (!allowed.includes(asList(name)) && !(hash && allowed.includes(`${hash}[*]`))) {
        throw invalidRequest(`Received unknown parameter: ${name}`, name, 'parameter_unknown');
      }
    }
    return this;
  }

  has(name: string): boolean {
    return this.pairs.some(([other]) => other === name);
  }

  /** @throws StripeError 400 `parameter_invalid_empty`, or for more than `max` characters */
  text(name: string, max = TEXT_MAX): string | undefined {
    const value = this.pairs.findLast(([other]) => other === name)?.[1];
    if (value === '') {
      throw invalidRequest(
        `You passed an empty string for '${name}'. Leave the parameter out instead.`,
        name,
        'parameter_invalid_empty',
      );
    }
    if (value !== undefined && [...value].length > max) {
      throw invalidRequest(`Invalid string: must be at most ${max} characters`, name);
    }
    return value;
  }

  requiredText(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw missingParameter(name);
    return value;
  }

  /** @throws StripeError 400 `parameter_invalid_integer` unless min <= value <= max */
  integer(name: string, min: number, max: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!/^[+-]?\d{1,15}$/.test(text)) {
      throw invalidRequest(
        `Invalid integer: ${text.slice(0, 100)}`,
        name,
        'parameter_invalid_integer',
      );
    }
    if (value < min || value > max) {
      throw invalidRequest(
        `Invalid integer: must be from ${min} to ${max}`,
        name,
        'parameter_invalid_integer',
      );
    }
    return value;
  }

  boolean(name: string): boolean | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    // The Python and .NET SDKs send True and False.
    const value = text.toLowerCase();
    if (value !== 'true' && value !== 'false') {
      throw invalidRequest(`Invalid boolean: ${text.slice(0, 100)}`, name);
    }
    return value === 'true';
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const text = this.text(name);
    const value = values.find((candidate) => candidate === text);
    if (text !== undefined && value === undefined) {
      throw invalidRequest(`Invalid ${name}: must be one of ${values.join(', ')}`, name);
    }
    return value;
  }

  list(name: string): string[] {
    return this.pairs.filter(([other]) => asList(other) === `${name}[]`).map(([, value]) => value);
  }

  /** Stripe's metadata. An empty value removes the pair. */
  metadata(): Record<string, string> {
    const pairs = new Map<string, string>();
    for (const [name, value] of this.pairs) {
      const key = /^metadata\[([^[\]]+)\]$/.exec(name)?.[1];
      if (key === undefined) continue;
      if ([...key].length > METADATA_MAX_NAME) {
        throw invalidRequest(`Metadata keys can have up to ${METADATA_MAX_NAME} characters`, name);
      }
      if ([...value].length > METADATA_MAX_VALUE) {
        throw invalidRequest(
          `Metadata values can have up to ${METADATA_MAX_VALUE} characters`,
          name,
        );
      }
      if (value === '') pairs.delete(key);
      else pairs.set(key, value);
    }
    if (pairs.size > METADATA_MAX_PAIRS) {
      throw invalidRequest(`Metadata can have up to ${METADATA_MAX_PAIRS} keys`, 'metadata');
    }
    // fromEntries defines own properties, so `__proto__` is an ordinary key.
    return Object.fromEntries(pairs);
  }

  /** Equal for equal parameters in any order; the order within a list matters. */
  fingerprint(): string {
    const sorted = this.pairs.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
  }
}

/** Clients write a list as `x[]` or as `x[0]`, `x[1]`; both mean the same. */
function asList(name: string): string {
  return name.replace(/\[\d+\]$/, '[]');
}

/** Refuses an impossible id before PostgreSQL sees it; a NUL, for example, would be an error there. */
export function refuseImpossibleId(noun: string, param: string): RequestParamHandler {
  return (_req, _res, next, id: string) => {
    if (!/^\w{1,100}$/.test(id)) throw noSuch(404, noun, id, param);
    next();
  };
}
