import { request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { expectMatchesOpenApi } from './openapi.js';
import { hear } from './retry-promise.js';
import { PATIENCE_MS } from './until.js';

/** The members that tests read. The others are there as well. */
export interface Body {
  [member: string]: unknown;
  id: string;
  status: string | number;
  code: string;
  charge: string;
  retry: string;
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  /** The body, byte for byte. */
  text: string;
  body: Body;
}

export interface Send {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `null` sends none. Default: the first demo account's. */
  apiKey?: string | null;
  key?: string;
  headers?: OutgoingHttpHeaders;
  /** Sent as JSON, unless it is a string or bytes. */
  body?: unknown;
  signal?: AbortSignal;
}

/** Sends one request on its own connection: a pooled one could still belong to a server that was killed. */
export async function send(url: string, options: Send = {}): Promise<Reply> {
  const { apiKey = 'sk_test_acme', key, headers, body, signal } = options;
  const bytes =
    body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
      ? body
      : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method: options.method ?? (body === undefined ? 'GET' : 'POST'),
      agent: false,
      signal,
      headers: {
        ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
        ...(bytes === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...headers,
      },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      readText(response)
        .then((text) => {
          const { statusCode: status = 0, headers: received } = response;
          const reply = { status, headers: received, text, body: parsed(text) };
          const { pathname, search } = new URL(url);
          // `/v1/…` is the processor's API.
          if (!pathname.startsWith('/v1/'))
            expectMatchesOpenApi(sent.method, pathname + search, reply);
          hear(url, key, { apiKey, body }, reply);
          resolve(reply);
        })
        .catch(reject);
    });
    sent.end(bytes);
  });
}

/** `POST /charges` of 12.00, with `changes`. */
export async function charge(
  apiUrl: string,
  key: string,
  changes: Record<string, unknown> = {},
  options: Send = {},
): Promise<Reply> {
  const body = { amount: 1200, currency: 'eur', payment_method: 'pm_card_visa', ...changes };
  return send(`${apiUrl}/charges`, { key, body, ...options });
}

/**
 * A client that obeys the contract: after a broken connection or `same_key`, it sends the same request with the same
 * key until it has a final answer.
 */
export async function chargeUntilAnswered(
  apiUrl: string,
  key: string,
  changes: Record<string, unknown> = {},
  options: Send = {},
): Promise<Reply> {
  const deadline = performance.now() + PATIENCE_MS; // the API may be starting
  for (;;) {
    const patience = performance.now() < deadline;
    const reply = await charge(apiUrl, key, changes, options).catch((error: Error) => {
      if (!patience) throw error;
      return undefined;
    });
    if (reply && (reply.body.retry !== 'same_key' || !patience)) return reply;
    await delay(100);
  }
}

/** `GET /idempotency-keys/{key}`. */
export async function lookUp(apiUrl: string, key: string, apiKey?: string): Promise<Reply> {
  return send(`${apiUrl}/idempotency-keys/${encodeURIComponent(key)}`, { apiKey });
}

/** `GET /charges/{id}`. */
export async function getCharge(apiUrl: string, id: string, apiKey?: string): Promise<Reply> {
  return send(`${apiUrl}/charges/${id}`, { apiKey });
}

function parsed(text: string): Body {
  try {
    return JSON.parse(text) as Body;
  } catch {
    return {} as Body; // not JSON: the test reads the text
  }
}
