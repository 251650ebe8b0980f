import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Webhook } from 'standardwebhooks';
import { checkLiteral, guardedLookup, type AddressPolicy } from './address-policy.js';

/** What came of one attempt. */
export interface Sent {
  /** Absent if there was no answer. */
  status?: number;
  /** What the receiver asks for, in ms. */
  retryAfterMs?: number;
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

/** For the whole exchange, in ms. A receiver should answer first and work later. */
const TIMEOUT_MS = 10_000;
/** Nobody reads the answer; a receiver that sends more is cut off. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Sends one message as Standard Webhooks has it (spec version 1.0). Redirects are not followed: `node:http` does not,
 * and an address that was checked must not send us to one that was not.
 */
export async function send(
  message: Message,
  policy: AddressPolicy,
  now = new Date(),
): Promise<Sent> {
  const signatures = message.secrets.map((secret) =>
    new Webhook(secret).sign(message.id, now, message.body),
  );
  try {
    const url = new URL(message.url);
    checkLiteral(url, policy);
    const response = await post(url, message.body, policy, {
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(message.body)),
      'User-Agent': 'charge-once-webhooks/1',
      'webhook-id': message.id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': signatures.join(' '),
    });
    const status = response.statusCode ?? 0;
    const retryAfterMs = parseRetryAfter(response.headers['retry-after'], now);
    return { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** Seconds or an HTTP date (RFC 9110, section 10.2.3), as milliseconds from now. */
export function parseRetryAfter(value: string | undefined, now: Date): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now.getTime();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function post(
  url: URL,
  body: string,
  policy: AddressPolicy,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = start(url, {
      method: 'POST',
      headers,
      lookup: guardedLookup(policy),
      agent: false, // a connection of its own: a slow receiver must not hold the next message's
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    request.on('error', reject);
    request.on('response', (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
      });
      response.on('error', reject);
      response.on('end', () => resolve(response));
    });
    request.end(body);
  });
}
