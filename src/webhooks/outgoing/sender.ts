import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Webhook } from 'standardwebhooks';
import { abortAfter } from '../../http/abort-after.js';
import {
  checkBeforeConnecting,
  guardedLookup,
  SendingRefused,
  type AddressPolicy,
} from './address-policy.js';

export interface Sent {
  /** The HTTP status; absent if there was no answer. */
  status?: number;
  /** The receiver's `Retry-After`, in ms. */
  retryAfterMs?: number;
  error?: string;
}

export interface Message {
  url: string;
  /** The event's id, the same in every attempt: the receiver deduplicates by it. */
  id: string;
  body: string;
  /** One signature for each; several during a rotation. */
  secrets: string[];
}

/** The answer's body is read up to this size and ignored; then the connection is closed. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** A receiver that sends more interim answers (1xx) than this is cut off. */
const MAX_INTERIM = 10;

/**
 * Sends one message by Standard Webhooks 1.0. `node:http` follows no redirects, so a checked address cannot send us to
 * an unchecked one. Never throws: every end is an outcome.
 * @param stopping ends the exchange early.
 * @param timeoutMs for the whole exchange. A receiver should answer first and process later.
 */
export async function send(
  message: Message,
  policy: AddressPolicy,
  stopping: AbortSignal,
  timeoutMs: number,
): Promise<Sent> {
  const now = new Date();
  const signatures = message.secrets.map((secret) =>
    new Webhook(secret).sign(message.id, now, message.body),
  );
  const tooLate = new SendingRefused('no answer in time');
  const { signal, release } = abortAfter(timeoutMs, stopping, tooLate);
  try {
    const url = new URL(message.url);
    checkBeforeConnecting(url, policy);
    const response = await post(url, message.body, policy, signal, {
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(message.body)),
      'User-Agent': 'charge-once-webhooks/1',
      'webhook-id': message.id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': signatures.join(' '),
    });
    const retryAfterMs = parseRetryAfter(response.headers['retry-after'], new Date());
    return {
      status: response.statusCode ?? 0,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    };
  } catch (error) {
    return { error: describe(signal.aborted ? signal.reason : error) };
  } finally {
    release();
  }
}

/** Our message or the error's code: the error's message would show addresses of our network. */
function describe(error: unknown): string {
  if (error instanceof SendingRefused) return error.message;
  const { name, code } = error as { name?: string; code?: string };
  if (name === 'AbortError') return 'interrupted on our side';
  return `the request failed${code === undefined ? '' : `: ${code}`}`;
}

/**
 * Parses seconds or an HTTP date in its preferred form (RFC 9110, section 10.2.3). `Date.parse` alone would accept
 * `120.5` and `-5`. Any other value is ignored.
 * @returns ms from now, without an upper limit.
 */
export function parseRetryAfter(value: string | undefined, now: Date): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = new Date(value);
  if (Number.isNaN(date.getTime()) || date.toUTCString() !== value) return undefined;
  return Math.max(0, date.getTime() - now.getTime());
}

/**
 * Resolves with the head of the answer. The body is read up to the limit, so that the connection closes in order.
 * Errors after the head are ignored.
 * @throws the error that ended the exchange before the head.
 */
function post(
  url: URL,
  body: string,
  policy: AddressPolicy,
  signal: AbortSignal,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = start(url, {
      method: 'POST',
      headers,
      lookup: guardedLookup(policy),
      agent: false, // one connection for each message: a slow receiver must not delay the next one
      signal,
    });
    let head: IncomingMessage | undefined;
    request.on('error', (error) => (head ? resolve(head) : reject(error)));
    request.on('upgrade', (response, socket) => {
      socket.destroy(); // we requested no upgrade
      resolve(response);
    });
    let interim = 0;
    request.on('information', () => {
      if (++interim > MAX_INTERIM) request.destroy(new SendingRefused('the answer is too long'));
    });
    request.on('response', (response) => {
      head = response;
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy();
      });
      response.on('error', () => {}); // `close` follows
      response.on('close', () => resolve(response));
    });
    // Covers every other end: a promise that never settles would keep its slot forever.
    request.on('close', () => {
      if (!head) reject(new Error('closed without an answer'));
    });
    request.end(body);
  });
}
