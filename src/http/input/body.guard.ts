import { isUtf8 } from 'node:buffer';
import { MIMEType } from 'node:util';
import { Injectable, SetMetadata, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import express, { type Request, type RequestHandler, type Response } from 'express';
import { visit } from 'jsonc-parser';
import { Problem } from '../problems/problem.js';
import {
  MALFORMED_JSON,
  PAYLOAD_TOO_LARGE,
  UNSUPPORTED_MEDIA_TYPE,
} from '../problems/http.problems.js';

const LIMIT_BYTES = 64 * 1024;
/** The limit for received webhooks, which contain whole objects of the sender. */
const RAW_LIMIT_BYTES = 1024 * 1024;
/** A deeper body would overflow the stack in canonicalisation or validation. */
const MAX_DEPTH = 32;

export const BODY = Symbol('BODY');
/** The body is optional; an absent one becomes `{}`. */
export const OptionalBody = () => SetMetadata(BODY, 'optional');
/** The body of a route that takes nothing: every member is unknown. */
export class NoMembers {}
/** The handler gets the raw bytes, up to 1 MiB, because a signature covers the bytes. */
export const RawBody = () => SetMetadata(BODY, 'raw');

/**
 * Reads and checks the body of POST and PUT. A guard, not a parser before the router, so that unknown routes, the API
 * key and the rate limit are checked first.
 */
@Injectable()
export class BodyGuard implements CanActivate {
  // Not express.json(): it checks the type before the size, accepts UTF-16, and reads an empty body as `{}`.
  private readonly receiveJson = receiver(LIMIT_BYTES);
  private readonly receiveRaw = receiver(RAW_LIMIT_BYTES);

  constructor(private readonly reflector: Reflector) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const kind = this.reflector.get<string | undefined>(BODY, context.getHandler());
    if (!['POST', 'PUT'].includes(request.method)) return true;
    if (kind === 'raw') await this.receiveRaw(request, response);
    else if (kind === 'optional' && isEmpty(request)) request.body = {};
    else await this.read(request, response);
    return true;
  }

  private async read(request: Request, response: Response): Promise<void> {
    await this.receiveJson(request, response);
    if (!isJsonInUtf8(request.headers['content-type'])) throw unsupportedType();
    const bytes: unknown = request.body;
    if (!Buffer.isBuffer(bytes) || bytes.length === 0) throw malformed('the body is empty');
    request.body = parseObject(bytes);
  }
}

function receiver(limitBytes: number) {
  const parser: RequestHandler = express.raw({ limit: limitBytes, type: () => true });
  return (request: Request, response: Response) =>
    new Promise<void>((resolve, reject) => {
      void parser(request, response, (error?: unknown) => {
        if (error === undefined) resolve();
        else reject(asProblem(error, limitBytes));
      });
    });
}

function isEmpty(request: Request): boolean {
  return (
    request.headers['transfer-encoding'] === undefined &&
    Number(request.headers['content-length'] ?? 0) === 0
  );
}

function isJsonInUtf8(contentType: string | undefined): boolean {
  try {
    const { essence, params } = new MIMEType(contentType ?? '');
    const charset = params.get('charset') ?? 'utf-8'; // JSON has no other charset (RFC 8259, section 8.1)
    return essence === 'application/json' && /^utf-?8$/i.test(charset);
  } catch {
    return false;
  }
}

function parseObject(bytes: Buffer): object {
  checkJson(bytes);
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('the body is not an object');
  return value;
}

/** Refuses what JSON.parse would accept or change. The details of `malformed_json` name each case. */
function checkJson(bytes: Buffer): void {
  if (!isUtf8(bytes)) throw malformed('the body is not UTF-8');
  /** The members seen so far of each object that is open. An open array has none. */
  const open: Set<string>[] = [];
  const enter = () => {
    if (open.push(new Set()) > MAX_DEPTH)
      throw malformed(`the body is deeper than ${MAX_DEPTH} levels`);
  };
  const leave = () => {
    open.pop();
  };
  visit(
    bytes.toString('utf8'),
    {
      onObjectBegin: enter,
      onArrayBegin: enter,
      onObjectEnd: leave,
      onArrayEnd: leave,
      onObjectProperty: (name) => {
        checkText(name);
        if (name === '__proto__') throw malformed('a member is named __proto__');
        const seen = open.at(-1);
        if (seen?.has(name)) throw malformed(`the member ${JSON.stringify(name)} occurs twice`);
        seen?.add(name);
      },
      onLiteralValue: (value: unknown) => {
        if (typeof value === 'string') checkText(value);
        if (typeof value === 'number' && !Number.isFinite(value))
          throw malformed('a number is out of range');
      },
      onError: () => {
        throw malformed('the body is not JSON');
      },
    },
    { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false },
  );
}

function checkText(text: string): void {
  if (text.includes('\0')) throw malformed('a string contains U+0000'); // PostgreSQL cannot store it
  if (!text.isWellFormed()) throw malformed('a string contains a lone surrogate'); // would become U+FFFD on the wire
}

function malformed(why: string): Problem {
  return new Problem(MALFORMED_JSON, `The body cannot be read: ${why}.`);
}

function unsupportedType(): Problem {
  return new Problem(UNSUPPORTED_MEDIA_TYPE, 'The body must be application/json in UTF-8.');
}

/** The body parser's errors have a `type` (source: README of body-parser). */
function asProblem(error: unknown, limitBytes: number): Error {
  if (error instanceof Problem) return error;
  const { type, status } = error as { type?: string; status?: number };
  if (type === 'entity.too.large') {
    return new Problem(PAYLOAD_TOO_LARGE, `The body is larger than ${limitBytes / 1024} KiB.`);
  }
  if (status === 415) return unsupportedType();
  // `request.aborted`, `request.size.invalid`, and data that does not decompress.
  if (status === 400) return malformed('it is incomplete or cannot be decompressed');
  return new Error('the body parser failed', { cause: error });
}
