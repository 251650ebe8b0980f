import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
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
  /** Sent as JSON, unless it is text or bytes already. */
  body?: unknown;
  /** The API key; acme's by default, null for none. */
  apiKey?: string | null;
  /** The Idempotency-Key; a fresh one by default for a POST, null for none. */
  key?: string | null;
  headers?: Record<string, string>;
}

/** One request as a client of the API would make it. Every answer is one that the OpenAPI document promises. */
export async function call(app: TestApp, path: string, options: Call = {}): Promise<Reply> {
  const { method = 'GET', body, apiKey = app.acme.apiKey } = options;
  const key = options.key === undefined && method === 'POST' ? randomUUID() : options.key;
  const response = await fetch(app.url + path, {
    method,
    headers: {
      ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
      ...(typeof key === 'string' ? { 'idempotency-key': key } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    body: asBody(body),
  });
  const text = await response.text();
  const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '');
  const parsed = isJson && text !== '' ? JSON.parse(text) : undefined;
  const reply = { status: response.status, headers: response.headers, text, body: parsed };
  expectMatchesOpenApi(method, path, reply);
  if (method === 'POST') hear(app.url + path, key, { apiKey, body }, reply);
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

function asBody(body: unknown): string | Uint8Array<ArrayBuffer> | undefined {
  if (body === undefined || typeof body === 'string') return body;
  return Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body);
}

/** Everything that every problem has, and that agrees with everything else. */
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
