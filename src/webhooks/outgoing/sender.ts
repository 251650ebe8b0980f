import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Webhook } from 'standardwebhooks';
import { abortAfter } from '../../http/abort-after.js';
import {
  AddressRefused,
  checkBeforeConnecting,
  guardedLookup,
  type AddressPolicy,
} from './address-policy.js';

/** What came of one attempt. */
export interface Sent {
  /** Absent if there was no answer. */
  status?: number;
  /** What the receiver asks for, in ms. */
  retryAfterMs?: number;
  /** For the merchant to read. */
  error?: string;
}

export interface Message {
  url: string;
  /** The event's id, the same on every try: the receiver deduplicates by it. */
  id: string;
  body: string;
  /** Each signs; two of them during a rotation. */
  secrets: string[];
}

export interface Limits {
  /** For the whole exchange, in ms. A receiver should answer first and work later. */
  timeoutMs: number;
  /** Nobody reads the answer's body; a receiver that sends more is cut off. */
  answerBytes: number;
}

export const ANSWER_BYTES = 64 * 1024;

/** More announcements of an answer (1xx) than anybody needs. */
const MOST_INTERIM = 10;

class TookTooLong extends Error {
  constructor() {
    super('no answer in time');
  }
}

class AnswerTooLong extends Error {
  constructor() {
    super('the answer is too long');
  }
}

/**
 * Sends one message as Standard Webhooks has it (spec version 1.0). Redirects are not followed: `node:http` does not,
 * and an address that was checked must not send us to one that was not. Never throws: every end is an outcome.
 * @param stopping ends the exchange early.
 */
export async function send(
  message: Message,
  policy: AddressPolicy,
  stopping: AbortSignal,
  limits: Limits,
): Promise<Sent> {
  const now = new Date();
  const signatures = message.secrets.map((secret) =>
    new Webhook(secret).sign(message.id, now, message.body),
  );
  const { signal, release } = abortAfter(limits.timeoutMs, stopping, new TookTooLong());
  try {
    const url = new URL(message.url);
    checkBeforeConnecting(url, policy);
    const response = await post(url, message.body, policy, signal, limits.answerBytes, {
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

/** In words of ours, or the error's code: its message would name addresses of our network. */
function describe(error: unknown): string {
  if ([AddressRefused, AnswerTooLong, TookTooLong].some((ours) => error instanceof ours))
    return (error as Error).message;
  const { name, code } = error as { name?: string; code?: string };
  if (name === 'AbortError') return 'interrupted on our side';
  return `the request failed${code === undefined ? '' : `: ${code}`}`;
}

/**
 * Seconds or an HTTP date (RFC 9110, section 10.2.3) in the one form that may be sent, as milliseconds from now, however
 * many; `Date.parse` alone would read `120.5` and `-5` as dates. Anything else is no wish.
 */
export function parseRetryAfter(value: string | undefined, now: Date): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = new Date(value);
  if (Number.isNaN(date.getTime()) || date.toUTCString() !== value) return undefined;
  return Math.max(0, date.getTime() - now.getTime());
}

/**
 * The head of the answer is the answer. What follows is read within the limits, so that the connection closes in good
 * order, and then cut off; however it ends, it takes nothing back.
 * @throws what ended the exchange before there was a head.
 */
function post(
  url: URL,
  body: string,
  policy: AddressPolicy,
  signal: AbortSignal,
  answerBytes: number,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = start(url, {
      method: 'POST',
      headers,
      lookup: guardedLookup(policy),
      agent: false, // a connection of its own: a slow receiver must not hold the next message's
      signal,
    });
    let head: IncomingMessage | undefined;
    request.on('error', (error) => (head ? resolve(head) : reject(error)));
    request.on('upgrade', (response, socket) => {
      socket.destroy(); // to another protocol, which nobody asked for
      resolve(response);
    });
    let interim = 0;
    request.on('information', () => {
      if (++interim > MOST_INTERIM) request.destroy(new AnswerTooLong());
    });
    request.on('response', (response) => {
      head = response;
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > answerBytes) response.destroy();
      });
      response.on('error', () => {}); // `close` follows
      response.on('close', () => resolve(response));
    });
    // Whatever else may end it: a promise that never settles would keep its slot for ever.
    request.on('close', () => {
      if (!head) reject(new Error('closed without an answer'));
    });
    request.end(body);
  });
}
