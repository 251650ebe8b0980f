import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import Stripe from 'stripe';
import type { WebhookConfig } from '../config.js';
import { markDelivered, takeDue } from './events.ledger.js';

/** How often it polls, in ms. This adds to the delay of an event. The pause grows while there are no events. */
const POLL_MS = { busy: 100, idle: 500 };
/** The pause after the ledger could not be read, in ms. */
const ERROR_PAUSE_MS = 1_000;
/** The timeout of one attempt, in ms. A receiver that never responds blocks only its own slot. */
const TIMEOUT_MS = 10_000;
const MAX_CONCURRENT = 50;

export interface Sender {
  /** Aborts the attempts in flight; they are repeated after the next start. */
  stop(): Promise<void>;
}

/**
 * Sends each event until it gets a 2xx response: at least once, in no guaranteed order, from any number of processes.
 * @param onFailure called when the ledger could not be read or written.
 */
export function startSending(
  pool: pg.Pool,
  webhook: WebhookConfig,
  onFailure: (error: unknown) => void,
): Sender {
  const stopping = new AbortController();
  // Each attempt, and the pause, adds one listener; Node warns of a leak above ten.
  setMaxListeners(MAX_CONCURRENT * webhook.copies + 1, stopping.signal);
  const inFlight = new Map<string, Promise<void>>();

  let pollMs = POLL_MS.busy;
  const sendDue = async () => {
    const room = MAX_CONCURRENT - inFlight.size;
    const due = room > 0 ? await takeDue(pool, webhook, [...inFlight.keys()], room) : [];
    pollMs = inFlight.size + due.length > 0 ? POLL_MS.busy : Math.min(pollMs * 1.5, POLL_MS.idle);
    for (const { id, body } of due) {
      const attempt = deliver(pool, webhook, { id, body }, stopping.signal).catch(onFailure);
      inFlight.set(
        id,
        attempt.finally(() => inFlight.delete(id)),
      );
    }
  };
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const pauseMs = await sendDue().then(
        () => pollMs,
        (error: unknown) => {
          onFailure(error);
          return ERROR_PAUSE_MS;
        },
      );
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();

  return {
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(inFlight.values());
    },
  };
}

async function deliver(
  pool: pg.Pool,
  webhook: WebhookConfig,
  { id, body }: { id: string; body: string },
  stopped: AbortSignal,
): Promise<void> {
  const copies = Array.from({ length: webhook.copies }, () => post(webhook, body, stopped));
  const taken = await Promise.all(copies);
  // Crash here: the event is sent once more.
  if (taken.every(Boolean)) await markDelivered(pool, id);
}

/** One attempt, signed now because old signatures are refused. @returns whether the response was 2xx. */
async function post(
  { url, secret }: WebhookConfig,
  body: string,
  stopped: AbortSignal,
): Promise<boolean> {
  // Not `AbortSignal.any` with `AbortSignal.timeout`: Node 20 may garbage collect that timeout, and it never fires.
  const end = new AbortController();
  const abort = () => end.abort();
  const timer = setTimeout(abort, TIMEOUT_MS);
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
    return false; // no connection or no response: the ledger has the time of the next attempt
  } finally {
    clearTimeout(timer);
    stopped.removeEventListener('abort', abort);
  }
}
