import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';

/**
 * Derives one permanent id from (account, operation, key). It is the object's primary key and the idempotency key for
 * the outside call. So the same intent keeps its id after expiry, a crash, or a restore from an older backup.
 *
 * 160 bits of SHA-256 in base32hex (RFC 4648, section 7), lower case. Fewer bits would make a collision of two intents
 * conceivable. More bits would make URLs longer.
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

/** Whether a value has the shape of a derived id. If not, none of our objects has this id. */
export function isDerivedId(prefix: string, text: unknown): text is string {
  return typeof text === 'string' && new RegExp(`^${prefix}_[0-9a-v]{32}$`).test(text);
}

/**
 * What a request means, as SHA-256 over canonical JSON (RFC 8785): path values, query and body, independent of member
 * order and white space.
 */
export function fingerprintOf({
  params,
  query,
  body,
}: Record<'params' | 'query' | 'body', unknown>): Buffer {
  return sha256(canonical([params, query, body]));
}

/**
 * One hash for each top-level member of the body, so that an error can name the members that differ without storing
 * the body. Each hash is salted with the derived id, so equal values under two keys have different hashes.
 */
export function memberHashes(id: string, body: unknown): Record<string, string> {
  const hashes: Record<string, string> = {};
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return hashes;
  for (const [name, value] of Object.entries(body)) {
    hashes[jsonPointer('', name)] = sha256(canonical([id, name, value])).toString('hex');
  }
  return hashes;
}

/** RFC 6901. */
export function jsonPointer(path: string, name: string): string {
  return `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** JSON Pointers of the members that differ, sorted. */
export function mismatchedMembers(
  stored: Record<string, string>,
  sent: Record<string, string>,
): string[] {
  const pointers = new Set([...Object.keys(stored), ...Object.keys(sent)]);
  return [...pointers].filter((pointer) => stored[pointer] !== sent[pointer]).sort();
}

/** Takes only arrays: for some other values, such as undefined, `canonicalize` returns no text. */
function canonical(values: readonly unknown[]): string {
  return canonicalize(values)!;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
