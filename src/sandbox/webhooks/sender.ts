import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import Stripe from 'stripe';
import type { WebhookConfig } from '../config.js';
import { markDelivered, takeDue } from './events.ledger.js';

/** How often it looks, in ms: what is added to the delay of an event. The pause grows while there are no events. */
const POLL_MS = { busy: 100, idle: 500 };
/** How long it waits after the ledger could not be read, in ms. */
const PAUSE_MS = 1_000;
/** One that never answers holds up no more than its place, and for no longer than this, in ms. */
const PATIENCE_MS = 10_000;
const AT_ONCE = 50;

export interface Sender {
  /** Leaves attempts that have not ended; they are made again. */
  stop(): Promise<void>;
}

/**
 * Sends each event until it is answered with 2xx: at least once, in no promised order, by any number of processes.
 * @param onFailure told when the ledger could not be read or written.
 */
export function startSending(
  pool: pg.Pool,
  webhook: WebhookConfig,
  onFailure: (error: unknown) => void,
): Sender {
  const stopping = new AbortController();
  // Each attempt listens while it lasts, and so does the pause; Node takes more than ten for a leak.
  setMaxListeners(AT_ONCE * webhook.copies + 1, stopping.signal);
  const underWay = new Map<string, Promise<void>>();

  let pollMs = POLL_MS.busy;
  const sendDue = async () => {
    const room = AT_ONCE - underWay.size;
    const due = room > 0 ? await takeDue(pool, webhook, [...underWay.keys()], room) : [];
    pollMs = underWay.size + due.length > 0 ? POLL_MS.busy : Math.min(pollMs * 1.5, POLL_MS.idle);
    for (const { id, body } of due) {
      const attempt = deliver(id, body).catch(onFailure);
      underWay.set(
        id,
        attempt.finally(() => underWay.delete(id)),
      );
    }
  };
  const deliver = async (id: string, body: string) => {
    const copies = Array.from({ length: webhook.copies }, () =>
      post(webhook, body, stopping.signal),
    );
    const taken = await Promise.all(copies);
    // Dies here: it is sent once more.
    if (taken.every(Boolean)) await markDelivered(pool, id);
  };
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const pauseMs = await sendDue().then(
        () => pollMs,
        (error: unknown) => {
          onFailure(error);
          return PAUSE_MS;
        },
      );
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();

  return {
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(underWay.values());
    },
  };
}

/** One attempt, signed now, as an old signature is refused. @returns whether it was answered with 2xx. */
async function post(
  { url, secret }: WebhookConfig,
  body: string,
  stopped: AbortSignal,
): Promise<boolean> {
  // Not `AbortSignal.any` with `AbortSignal.timeout`: in Node 20 that time limit can be collected, and never comes.
  const end = new AbortController();
  const abort = () => end.abort();
  const timer = setTimeout(abort, PATIENCE_MS);
  stopped.addEventListener('abort', abort);
  if (stopped.aborted) abort();
  const signature = Stripe.webhooks.generateTestHeaderString({ payload: body, secret });
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8', 'stripe-signature': signature },
      body,
      redirect: 'manual',
      signal: end.signal,
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // nobody is there, or nobody answers: the ledger has the time of the next attempt
  } finally {
    clearTimeout(timer);
    stopped.removeEventListener('abort', abort);
  }
}
