import type { Schema } from './schema.js';

interface Header {
  description: string;
  schema: Schema;
  example: string;
}

const text = (pattern: string): Schema => ({ type: 'string', pattern });

/** 1 to 255 characters, bare or as a quoted string: idempotency/key-header.ts. */
export const KEY = text(String.raw`^([ !#-+\--~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$`);

/** Headers of responses. */
export const HEADERS = {
  'Request-Id': {
    description: 'The id of this request, on every answer and in our logs.',
    schema: text('^req_[0-9a-v]{24}$'),
    example: 'req_4fh5pd7m7j3q8kpi5b4q9cv1',
  },
  'Idempotency-Key': {
    description: 'The key that was sent, on every answer to a valid one.',
    schema: KEY,
    example: 'order_8472_attempt_1',
  },
  'Idempotent-Replayed': {
    description: 'Present unless this request itself made the answer.',
    schema: { type: 'string', const: 'true' },
    example: 'true',
  },
  'Original-Request-Id': {
    description: 'On a replay: the id of the request that began the operation.',
    schema: text('^req_[0-9a-v]{24}$'),
    example: 'req_9v0c2l6n3u8s1t5r7e4d0b2a',
  },
  'Idempotency-Expires': {
    description:
      'Until when this answer is replayed. Later the key creates nothing new either: 409 `idempotency_key_expired`.',
    schema: { type: 'string', format: 'date-time' },
    example: '2026-03-08T12:00:00.000Z',
  },
  'Preference-Applied': {
    description:
      'The answer to `Prefer: wait`: the seconds that the server waits at most (RFC 7240).',
    schema: text('^wait=\\d{1,2}$'),
    example: 'wait=30',
  },
  Location: {
    description: 'The path of the created object.',
    schema: text('^/'),
    example: '/webhook-endpoints/we_5a7c9e1g3i5k7m9o1q3s5u7w9a1c3e5g',
  },
  ETag: {
    description:
      'The version of the object (RFC 9110): send it in `If-Match` to change this version and no other.',
    schema: text('^"[A-Za-z0-9_-]{27}"$'),
    example: '"3kPq0sZfW1xTn8LhV5cYbR2mJdE"',
  },
  'Retry-After': {
    description: 'Whole seconds to wait before the same request is sent again with the same key.',
    schema: text('^[1-9]\\d*$'),
    example: '1',
  },
  Allow: {
    description: 'The methods that the path has.',
    schema: { type: 'string' },
    example: 'GET, HEAD, POST',
  },
  'WWW-Authenticate': {
    description: 'How to authenticate (RFC 6750).',
    schema: { type: 'string', const: 'Bearer' },
    example: 'Bearer',
  },
  RateLimit: {
    description:
      'What is left: `r` requests that could follow within `t` seconds (draft-ietf-httpapi-ratelimit-headers-11).',
    schema: text('^"account";r=\\d+;t=[1-9]\\d*$'),
    example: '"account";r=199;t=2',
  },
  'RateLimit-Policy': {
    description:
      'The limit: `q` requests of an account at once, and as many in every `w` seconds after that. Each API process counts separately.',
    schema: text('^"account";q=[1-9]\\d*;w=[1-9]\\d*$'),
    example: '"account";q=200;w=2',
  },
} as const satisfies Record<string, Header>;

export type HeaderName = keyof typeof HEADERS;

/**
 * A request header. Swagger UI sends the example unchanged, so only a required header has one: an optional one would
 * break the request of a reader who only pressed "Execute".
 */
export interface Parameter {
  name: string;
  in: 'header';
  description: string;
  schema: Schema;
  required?: true;
  example?: string;
}

/** Headers of requests, without those of an `@Idempotent()` route. */
export const REQUEST_HEADERS = {
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    description:
      'The `ETag` of the version to change, with its quotes. A proxy that compresses may have weakened it (`W/"…"`): send it as you got it. Other content is 428 without this header, 412 with a stale one, and 400 with a value that is not an entity-tag. The same content again is 200, also with a stale one, because a retry of your own write is no conflict.',
    schema: { type: 'string' },
  },
  IfMatchDelete: {
    name: 'If-Match',
    in: 'header',
    description:
      'The `ETag` of the version to cancel, with its quotes. Optional. A stale one is 412; a value that is not an entity-tag is 400.',
    schema: { type: 'string' },
  },
  IfNoneMatchCreate: {
    name: 'If-None-Match',
    in: 'header',
    description: '`*`: create only; 412 if it exists.',
    schema: { type: 'string' },
  },
  IfNoneMatchRead: {
    name: 'If-None-Match',
    in: 'header',
    description:
      'The `ETag` of the version that you have, with its quotes: 304 if it is still the current one.',
    schema: { type: 'string' },
  },
} as const satisfies Record<string, Parameter>;
