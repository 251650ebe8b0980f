import { randomUUID } from 'node:crypto';
import { text as readText } from 'node:stream/consumers';
import { expect } from '@jest/globals';
import supertest from 'supertest';
import type { TestApp } from './app.js';
import { expectMatchesOpenApi } from './openapi.js';
import { hear } from './retry-promise.js';

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  /** Parsed JSON, or undefined. */
  body: Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- a test reads what it expects
}

export interface Call {
  method?: string;
  /** Sent as JSON, unless it is a string or bytes. */
  body?: unknown;
  /** The API key. Default: acme's; null sends none. */
  apiKey?: string | null;
  /** The Idempotency-Key. Default: a new one for a POST; null sends none. */
  key?: string | null;
  headers?: Record<string, string>;
}

/** Sends one request as a client would. Checks every answer against the OpenAPI document. */
export async function call(app: TestApp, path: string, options: Call = {}): Promise<Reply> {
  const { method = 'GET', body, apiKey = app.acme.apiKey } = options;
  const key = options.key === undefined && method === 'POST' ? randomUUID() : options.key;
  const response = await new supertest.Test(app.url, method, path)
    .set({
      ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
      ...(typeof key === 'string' ? { 'idempotency-key': key } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    })
    .redirects(0)
    .ok(() => true)
    .buffer(true)
    .parse(asText) // as text: a replay is compared byte by byte
    .serialize((bytes: unknown) => bytes as string) // unchanged, even if they are not UTF-8
    .send(asBody(body));
  const headers = new Headers(response.headers);
  const text = typeof response.body === 'string' ? response.body : ''; // HEAD has no body
  const isJson = /\bjson\b/.test(headers.get('content-type') ?? '');
  const parsed = isJson && text !== '' ? JSON.parse(text) : undefined;
  const reply = { status: response.status, headers, text, body: parsed };
  expectMatchesOpenApi(method, path, reply);
  hear(app.url + path, method === 'POST' ? key : null, { apiKey, body }, reply);
  return reply;
}

export function post(
  app: TestApp,
  path: string,
  body: unknown,
  options: Call = {},
): Promise<Reply> {
  return call(app, path, { ...options, method: 'POST', body });
}

/** A charge that succeeds. */
export const CHARGE = { amount: 1200, currency: 'eur', payment_method: 'pm_card_visa' };

function asBody(body: unknown): string | Buffer | undefined {
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) return body;
  return JSON.stringify(body);
}

function asText(
  response: supertest.Response,
  done: (error: Error | null, text: string | undefined) => void,
): void {
  readText(response as unknown as NodeJS.ReadableStream).then(
    (text) => done(null, text),
    (error: Error) => done(error, undefined),
  );
}

/** Checks the members that every problem has, and that they agree with each other. */
export function expectProblem(reply: Reply, status: number, code: string, retry: string): void {
  expect(reply.body).toMatchObject({ status, code, retry, type: `/problems/${code}` });
  expect(reply.status).toBe(status);
  expect(reply.headers.get('Content-Type')).toBe('application/problem+json; charset=utf-8');
  expect(reply.headers.get('Request-Id')).toMatch(/^req_[0-9a-v]{24}$/);
  expect(reply.body.request_id).toBe(reply.headers.get('Request-Id'));
  expect(Object.keys(reply.body).slice(0, 7)).toEqual([
    'type',
    'title',
    'status',
    'detail',
    'code',
    'request_id',
    'retry',
  ]);
}
