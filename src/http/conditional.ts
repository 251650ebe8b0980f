import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { Problem, validationFailed } from './problems/problem.js';
import { PRECONDITION_FAILED, PRECONDITION_REQUIRED } from './problems/http.problems.js';

/**
 * A strong entity-tag (RFC 9110, section 8.8.3) of what GET shows, including the version. It is a hash, not only the
 * version: after a restore from a backup the same version numbers return with other content, and an old tag must not
 * match.
 */
export function etagOf(wire: object): string {
  const hash = createHash('sha256').update(JSON.stringify(wire)).digest('base64url');
  return `"${hash.slice(0, 27)}"`; // 160 bits
}

/** Suffixes that a compressing proxy may add to a tag: Apache and Caddy append the content-coding. */
const CODINGS = ['', '-gzip', '-deflate', '-br', '-zstd'];

/**
 * Whether one of the tags in an `If-Match` or `If-None-Match` header names this version.
 *
 * RFC 9110 compares `If-Match` strongly, so a weak tag never matches (section 13.1.1). Our tags are strong, but a
 * proxy that compresses the body changes them (nginx: `W/"…"`), and then no object could be edited through it. So we
 * also accept the tags that proxies derive from ours. That is safe: our tag is a hash of everything that GET shows, so
 * it still identifies one state of the object.
 */
function matches(header: string, etag: string): boolean {
  const tags = tagsOf(header);
  if (tags === '*') return true;
  const strong = CODINGS.map((coding) => `${etag.slice(0, -1)}${coding}"`);
  const ours = new Set([...strong, ...strong.map((tag) => `W/${tag}`)]);
  return tags?.some((tag) => ours.has(tag)) ?? false;
}

/** An entity-tag, if a comma or the end follows. */
const TAG = /(?:W\/)?"[!#-~\x80-\xff]*"(?=\s*(?:,|$))/g;

/** `*`, or the entity-tags of a list, which may be empty (RFC 9110, section 5.6.1.2); undefined for anything else. */
function tagsOf(header: string): '*' | string[] | undefined {
  if (header.trim() === '*') return '*';
  return /^[\s,]*$/.test(header.replaceAll(TAG, '')) ? (header.match(TAG) ?? []) : undefined;
}

/**
 * Refuses a malformed condition: `If-None-Match` would protect nothing, and `If-Match` would look stale. GET needs no
 * such check: a malformed condition there only loses a 304.
 * @throws Problem 400
 */
export function refuseMalformedConditions(request: Request): void {
  const errors = ['If-Match', 'If-None-Match'].flatMap((name) => {
    const header = request.get(name);
    if (header === undefined || tagsOf(header) !== undefined) return [];
    const detail = 'is malformed: send * or the ETag as GET gave it, with its quotes';
    return [{ pointer: `/${name}`, detail }];
  });
  if (errors.length > 0) throw validationFailed(errors);
}

/** Sends an object with its ETag, or 304 if the client has this version. */
export function sendVersioned<Wire extends object>(
  request: Request,
  response: Response,
  wire: Wire,
): Wire | undefined {
  const etag = etagOf(wire);
  response.setHeader('ETag', etag);
  const known = request.headers['if-none-match'];
  if (known === undefined || !matches(known, etag)) return wire;
  response.status(304);
  return undefined;
}

/** @throws Problem 412 if `If-Match` names another version. Without the header there is no check. */
export function checkIfMatch(request: Request, etag: string): void {
  const header = request.headers['if-match'];
  if (header !== undefined && !matches(header, etag)) throw preconditionFailed();
}

/** An object that a client may PUT. If a step loses a race, `putConditionally` starts again with `find`. */
export interface PutTarget<Row> {
  toWire(row: Row): object;
  find(): Promise<Row | undefined>;
  /** @returns undefined if another request inserted it first. */
  insert(): Promise<Row | undefined>;
  isSame(row: Row): boolean;
  /** @throws Problem if the row must not change now. */
  checkChangeable(row: Row): Promise<void> | void;
  /** Compare-and-set on the row's version. @returns undefined if the version has changed. */
  update(row: Row): Promise<Row | undefined>;
}

/**
 * PUT as in RFC 9110, made safe for retries. The same content again changes nothing and is not a conflict, whatever
 * `If-Match` says (section 13.1.1 allows this for a change that is already made). Other content needs the current
 * version, so a late PUT can never restore an old state.
 *
 * @throws Problem 400, 412, 428, or what `checkChangeable` throws.
 */
export async function putConditionally<Row>(
  request: Request,
  target: PutTarget<Row>,
): Promise<{ created: boolean; row: Row }> {
  refuseMalformedConditions(request);
  const ifMatch = request.headers['if-match'];
  const ifNoneMatch = request.headers['if-none-match'];
  for (;;) {
    const found = await target.find();
    if (!found) {
      if (ifMatch !== undefined) throw preconditionFailed();
      const inserted = await target.insert();
      if (inserted) return { created: true, row: inserted };
      continue;
    }
    const etag = etagOf(target.toWire(found));
    if (ifNoneMatch !== undefined && matches(ifNoneMatch, etag)) throw preconditionFailed();
    if (target.isSame(found)) return { created: false, row: found };
    if (ifMatch === undefined) {
      throw new Problem(
        PRECONDITION_REQUIRED,
        'The object exists with other content. GET it and send its ETag in If-Match.',
      );
    }
    checkIfMatch(request, etag);
    await target.checkChangeable(found);
    const updated = await target.update(found);
    if (updated) return { created: false, row: updated };
  }
}

/** Status, `ETag` and, for a new object, `Location` of a PUT response. */
export function writePutHead(
  response: Response,
  created: boolean,
  wire: object,
  url: string,
): void {
  response.status(created ? 201 : 200).setHeader('ETag', etagOf(wire));
  if (created) response.setHeader('Location', url);
}

function preconditionFailed(): Problem {
  return new Problem(
    PRECONDITION_FAILED,
    'The object is not in the state that your If-Match or If-None-Match names.',
  );
}
