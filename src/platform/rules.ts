import { registerDecorator } from 'class-validator';
import currencies from 'currency-codes';

/** The largest amount, in minor units: Stripe's own limit. */
export const MAX_AMOUNT = 99_999_999;

/** Ids that clients choose. */
export const CLIENT_ID = /^[A-Za-z0-9_-]{1,64}$/;

const CURRENCIES: ReadonlySet<string> = new Set(
  currencies.codes().map((code) => code.toLowerCase()),
);

/** A lower-case ISO 4217 code. */
export function IsCurrency(): PropertyDecorator {
  return custom('isCurrency', 'must be a lower-case ISO 4217 code', (value) =>
    CURRENCIES.has(value as string),
  );
}

/** A date, or a date and time, in ISO 8601; without an offset it is UTC. */
export function IsIsoTime(): PropertyDecorator {
  return custom(
    'isIsoTime',
    'must be an ISO 8601 date or time',
    (value) => toUtc(value) !== undefined,
  );
}

/** @returns the time in UTC, with an offset that PostgreSQL reads the same way; undefined if it is none. */
export function toUtc(value: unknown): string | undefined {
  const match =
    /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)(Z|[+-]\d{2}:\d{2})?)?$/.exec(
      String(value),
    );
  if (!match) return undefined;
  const [, date, time = '00:00', offset = 'Z'] = match;
  const text = `${date}T${time}${offset}`;
  // Date.parse takes 2026-02-30 for the 2nd of March.
  const real = new Date(`${date}T00:00Z`);
  return !Number.isNaN(Date.parse(text)) && real.toISOString().startsWith(date!) ? text : undefined;
}

function custom(
  name: string,
  message: string,
  test: (value: unknown) => boolean,
): PropertyDecorator {
  return (target, member) =>
    registerDecorator({
      name,
      target: target.constructor,
      propertyName: String(member),
      validator: { validate: test, defaultMessage: () => message },
    });
}
