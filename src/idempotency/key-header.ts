import { parseItem } from 'structured-headers';
import { IdempotencyKeyInvalid, IdempotencyKeyMissing } from './errors.js';

const MAX_KEY_CHARACTERS = 255;

/**
 * Reads the `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header-07, section 2.1). A value that begins
 * with `"` is an RFC 8941 string. Any other value is the key itself, because most clients send it without quotes.
 * `"abc"` and `abc` are the same key.
 *
 * @param lines one element for each header line. Node joins two lines into `a, b`, which must not pass as one key.
 * @throws IdempotencyKeyMissing, IdempotencyKeyInvalid
 */
export function parseIdempotencyKey(lines: readonly string[] | undefined): string {
  if (lines === undefined || lines.length === 0) throw new IdempotencyKeyMissing();
  if (lines.length > 1) throw invalid('it was sent more than once');
  const value = lines[0]!.replaceAll(/^[ \t]+|[ \t]+$/g, ''); // not trim(), which also removes U+00A0
  const key = value.startsWith('"') ? parseQuoted(value) : value;
  if (key === '') throw invalid('it is empty');
  if (key.length > MAX_KEY_CHARACTERS)
    throw invalid(`it is longer than ${MAX_KEY_CHARACTERS} characters`);
  if (!/^[\x20-\x7e]+$/.test(key)) throw invalid('it contains characters outside printable ASCII');
  if (key === value && /[",]/.test(key)) throw invalid('it contains a quote or a comma');
  return key;
}

/** Whether a key could have been used. The lookup takes the key itself, without the header's quotes. */
export function isPossibleKey(key: string): boolean {
  return /^[\x20-\x7e]{1,255}$/.test(key);
}

function parseQuoted(value: string): string {
  try {
    const [item, parameters] = parseItem(value);
    if (typeof item === 'string' && parameters.size === 0) return item;
  } catch {
    // falls through to the one error below
  }
  throw invalid('it begins with a quote but is not a quoted string (RFC 8941)');
}

function invalid(why: string): IdempotencyKeyInvalid {
  return new IdempotencyKeyInvalid(`The Idempotency-Key header cannot be used: ${why}.`);
}

/**
 * The longest wait that a client can ask for; longer values are cut to it. Common proxies time out after 30 s or
 * more.
 */
const MAX_WAIT_SECONDS = 30;

/** `Prefer: wait=<seconds>` (RFC 7240, section 4.3), in seconds, or undefined. The first `wait` counts. */
export function parsePreferWait(header: string | undefined): number | undefined {
  for (const preference of (header ?? '').split(',')) {
    const match = /^\s*wait\s*=\s*"?(\d+)"?\s*(;.*)?$/i.exec(preference);
    if (match) return Math.min(Number(match[1]), MAX_WAIT_SECONDS);
  }
  return undefined;
}
