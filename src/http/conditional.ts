import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { Problem, validationFailed } from './problems/problem.js';
import { PRECONDITION_FAILED, PRECONDITION_REQUIRED } from './problems/http.problems.js';

/**
 * A strong entity-tag (RFC 9110, section 8.8.3) of what GET shows, its version included. A hash and not the version
 * alone: after a restore from a backup the same numbers come back with other content, and an old tag must not fit it.
 */
export function etagOf(wire: object): string {
  const hash = createHash('sha256').update(JSON.stringify(wire)).digest('base64url');
  return `"${hash.slice(0, 27)}"`; // 160 bits
}

/** What a proxy that compresses the body may add to a tag: Apache and Caddy name the content-coding. */
const CODINGS = ['', '-gzip', '-deflate', '-br', '-zstd'];

/**
 * Whether one of the tags in an `If-Match` or `If-None-Match` header names this version.
 *
 * RFC 9110 has `If-Match` compare strongly, so that a weak tag never matches (section 13.1.1). Our tags are strong, but
 * a proxy that compresses the body changes them on the way (nginx: `W/"…"`), and behind it no object could be edited.
 * What became of our own tag is therefore taken for the tag: it is a hash of all that GET shows, so that it still names
 * one state of the object, in another content-coding. No other tag matches.
 */
function names(header: string, etag: string): boolean {
  const tags = tagsOf(header);
  if (tags === '*') return true;
  const strong = CODINGS.map((coding) => `${etag.slice(0, -1)}${coding}"`);
  const ours = new Set([...strong, ...strong.map((tag) => `W/${tag}`)]);
  return tags?.some((tag) => ours.has(tag)) ?? false;
}

/** `*`, or the entity-tags of a list, which may be empty (RFC 9110, section 5.6.1.2); undefined for anything else. */
function tagsOf(header: string): '*' | string[] | undefined {
  if (header.trim() === '*') return '*';
  const tags: string[] = [];
  const rest = header.replaceAll(/(?:W\/)?"[!#-~\x80-\xff]*"(?=\s*(?:,|$))/g, (tag) => {
    tags.push(tag);
    return '';
  });
  return /^[\s,]*$/.test(rest) ? tags : undefined;
}

/**
 * A condition that cannot be read is refused: `If-None-Match` would guard nothing, and `If-Match` would look stale.
 * GET needs no such check: there it only costs a 304.
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

/** @returns whether the client has this version already, so that 304 will do. */
export function isFresh(request: Request, etag: string): boolean {
  const header = request.headers['if-none-match'];
  return header !== undefined && names(header, etag);
}

/** Sends an object with its ETag, or 304 if the client has it. */
export function sendVersioned<Wire extends object>(
  request: Request,
  response: Response,
  wire: Wire,
): Wire | undefined {
  const etag = etagOf(wire);
  response.setHeader('ETag', etag);
  if (!isFresh(request, etag)) return wire;
  response.status(304);
  return undefined;
}

/** @throws Problem 412 when the request names another version in `If-Match`. Without the header nothing is asked. */
export function checkIfMatch(request: Request, etag: string): void {
  const header = request.headers['if-match'];
  if (header !== undefined && !names(header, etag)) throw changedMeanwhile();
}

/** An object that a client may PUT. Each step may lose a race; then everything is looked at again. */
export interface PutTarget<Row> {
  toWire(row: Row): object;
  find(): Promise<Row | undefined>;
  /** @returns undefined if somebody else was faster. */
  insert(): Promise<Row | undefined>;
  /** Whether the row has this content already. */
  isSame(row: Row): boolean;
  /** @throws Problem if the row can take no other content now. */
  checkChangeable(row: Row): Promise<void> | void;
  /** Compare-and-set on the row's version. @returns undefined if it has moved on. */
  update(row: Row): Promise<Row | undefined>;
}

/**
 * PUT as RFC 9110 has it, made safe for retries: the same content again changes nothing and is no conflict, whatever
 * `If-Match` says (section 13.1.1 allows that for a change already made); other content needs the current version, so
 * that a PUT which arrives late can never put an old state back.
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
      if (ifMatch !== undefined) throw changedMeanwhile();
      const inserted = await target.insert();
      if (inserted) return { created: true, row: inserted };
      continue;
    }
    const etag = etagOf(target.toWire(found));
    if (ifNoneMatch !== undefined && names(ifNoneMatch, etag)) throw changedMeanwhile();
    if (target.isSame(found)) return { created: false, row: found };
    if (ifMatch === undefined) {
      throw new Problem(
        PRECONDITION_REQUIRED,
        'It exists with other content. GET it and send its ETag in If-Match.',
      );
    }
    checkIfMatch(request, etag);
    await target.checkChangeable(found);
    const updated = await target.update(found);
    if (updated) return { created: false, row: updated };
  }
}

/** Status, `ETag` and, for a new object, `Location` of a PUT. */
export function writePutHead(
  response: Response,
  created: boolean,
  wire: object,
  url: string,
): void {
  response.status(created ? 201 : 200).setHeader('ETag', etagOf(wire));
  if (created) response.setHeader('Location', url);
}

function changedMeanwhile(): Problem {
  return new Problem(
    PRECONDITION_FAILED,
    'The object is not in the state that your If-Match or If-None-Match names.',
  );
}
