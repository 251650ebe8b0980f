import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';

/**
 * The one identity: from (account, operation, key) one id, for ever. It is the object's primary key and the
 * idempotency key for whoever is called outside, so that the same intent has the same name everywhere: after
 * expiry, after a crash, after a restore from an older backup.
 *
 * 160 bits of SHA-256 in base32hex (RFC 4648, section 7), lower case. Fewer bits would make two intents
 * with one name conceivable; more would not fit a URL that people paste.
 */
export function deriveId(
  prefix: string,
  accountId: string,
  operation: string,
  key: string,
): string {
  const bits = sha256(canonical([accountId, operation, key]))
    .subarray(0, 20)
    .toString('hex');
  return `${prefix}_${BigInt(`0x${bits}`).toString(32).padStart(32, '0')}`;
}

/** Whether a text has the shape of a derived id: what has not names nothing of ours. */
export function isDerivedId(prefix: string, text: unknown): text is string {
  return typeof text === 'string' && new RegExp(`^${prefix}_[0-9a-v]{32}$`).test(text);
}

/** What a request means, whatever its member order and white space: path values, query and body. */
export interface Meaning {
  params: unknown;
  query: unknown;
  body: unknown;
}

/** SHA-256 over the RFC 8785 canonical JSON of the meaning. */
export function fingerprintOf(meaning: Meaning): Buffer {
  return sha256(canonical([meaning.params, meaning.query, meaning.body]));
}

/**
 * One hash for each top-level member of the body, so that a mismatch can be named without keeping the body.
 * Each is salted with the derived id: equal values under two keys do not show as equal.
 */
export function memberHashes(id: string, body: unknown): Record<string, string> {
  const hashes: Record<string, string> = {};
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return hashes;
  for (const [name, value] of Object.entries(body)) {
    const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`; // RFC 6901
    hashes[pointer] = sha256(canonical([id, name, value])).toString('hex');
  }
  return hashes;
}

/** JSON Pointers of the members that differ, in order. */
export function mismatchedMembers(
  stored: Record<string, string>,
  sent: Record<string, string>,
): string[] {
  const pointers = new Set([...Object.keys(stored), ...Object.keys(sent)]);
  return [...pointers].filter((pointer) => stored[pointer] !== sent[pointer]).sort();
}

function canonical(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('not a JSON value');
  return text;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
