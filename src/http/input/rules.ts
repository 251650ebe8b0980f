import { ValidateBy } from 'class-validator';

/** Ids that clients choose. */
export const CLIENT_ID = /^[A-Za-z0-9_-]{1,64}$/;

export const METADATA_LIMITS = { pairs: 50, keyCharacters: 40, valueCharacters: 500 } as const;

/** A string of `min` to `max` characters. Counts code points, as PostgreSQL does: an emoji is one character. */
export function IsText(min: number, max: number): PropertyDecorator {
  return custom(
    'isText',
    `must be a string of ${min} to ${max} characters`,
    (value) => isText(value, min, max),
    [min, max],
  );
}

/** Not class-validator's MaxLength, which does not count variation selectors, so any number of them passes. */
export function isText(value: unknown, min: number, max: number): value is string {
  if (typeof value !== 'string' || value.length > 2 * max) return false;
  const characters = [...value].length;
  return characters >= min && characters <= max;
}

/** A date, or a date and time, in ISO 8601; without an offset it is UTC. */
export function IsIsoTime(): PropertyDecorator {
  return custom(
    'isIsoTime',
    'must be an ISO 8601 date or time',
    (value) => toUtc(value) !== undefined,
  );
}

const ISO_TIME =
  /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2})?)((?<=:\d{2}:\d{2})\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?)?$/;

/** @returns the time in UTC, because PostgreSQL accepts only offsets below 16 hours; undefined if it is not a time. */
export function toUtc(value: unknown): string | undefined {
  const [, date, time = '00:00', fraction = '', offset = 'Z'] = ISO_TIME.exec(String(value)) ?? [];
  const instant = new Date(`${date}T${time}${offset}`);
  if (date === undefined || Number.isNaN(instant.getTime())) return undefined;
  // Date reads 2026-02-30 as 2 March.
  if (!new Date(`${date}T00:00Z`).toISOString().startsWith(date)) return undefined;
  const utc = instant.toISOString();
  // PostgreSQL has no year 0, and writes years above 9999 differently.
  return /^(?!0000)\d{4}-/.test(utc) ? `${utc.slice(0, 19)}${fraction}Z` : undefined;
}

/** A whole number in a query string, which is text there: `10`, and not `010` or `1e1`. */
export function IsWholeNumber(min: number, max: number): PropertyDecorator {
  return custom(
    'isWholeNumber',
    `must be a whole number from ${min} to ${max}`,
    (value) =>
      /^(0|[1-9]\d*)$/.test(String(value)) && +String(value) >= min && +String(value) <= max,
    [min, max],
  );
}

export function custom(
  name: string,
  message: string,
  test: (value: unknown) => boolean,
  /** For the OpenAPI document, which describes the rule. */
  constraints: unknown[] = [],
): PropertyDecorator {
  return ValidateBy({
    name,
    constraints,
    validator: { validate: test, defaultMessage: () => message },
  });
}
