import { AsyncLocalStorage } from 'node:async_hooks';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import Stripe from 'stripe';
import { elapsedMs } from '../database/clock.js';
import { currentTrace } from '../log/trace.js';

/** One call of the application, which may contain several attempts of the SDK. */
export interface Call {
  /** In ms, on the clock of `elapsedMs()`. */
  deadline: number;
  /** Whether an attempt, perhaps still running, may have reached the processor without a definite refusal. */
  inDoubt: boolean;
  /** Whether an attempt got a failure that the processor has stored, and replays for as long as it keeps the key. */
  stored: boolean;
}

/** Errors before a connection existed: the request cannot have arrived. */
export const NOT_REACHED: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

const calls = new AsyncLocalStorage<Call>();

type MakeRequest = Stripe.HttpClient['makeRequest'];

/**
 * The SDK has a timeout for each attempt but none for the call, and it retries some errors even if it is configured
 * not to. Here each attempt gets the rest of the call's time, and none begins after its deadline: a process that was
 * suspended does not take money when it continues.
 */
export function deadlineHttpClient(insecure: boolean): Stripe.HttpClient {
  const agent = insecure ? new HttpAgent({ keepAlive: true }) : new HttpsAgent({ keepAlive: true });
  const inner = Stripe.createNodeHttpClient(agent);
  const makeRequest = async (...args: Parameters<MakeRequest>) => {
    const trace = currentTrace();
    if (trace) args[4] = { ...args[4], traceparent: trace.traceparent };
    const call = calls.getStore();
    if (!call) return inner.makeRequest(...args);
    const left = Math.floor(call.deadline - elapsedMs());
    if (left <= 0) throw Stripe.HttpClient.makeTimeoutError();
    args[7] = left;
    const doubtBefore = call.inDoubt;
    call.inDoubt = true;
    try {
      const response = await inner.makeRequest(...args);
      // 409: an attempt under this key still runs. 5xx: the charge may have happened before the error. 2xx: the body
      // is still to come, and may not arrive.
      const status = response.getStatusCode();
      if (status >= 400 && status < 500 && status !== 409) call.inDoubt = doubtBefore;
      if (status >= 500 && response.getHeaders()['idempotent-replayed'] === 'true') {
        call.stored = true;
      }
      return response;
    } catch (error) {
      if (NOT_REACHED.has((error as { code?: unknown }).code)) call.inDoubt = doubtBefore;
      throw error;
    }
  };
  return { getClientName: () => inner.getClientName(), makeRequest };
}

class NoWholeAnswerInTime extends Error {}

/** Whether our own deadline ended the call. */
export function isDeadlineExceeded(error: unknown): boolean {
  if (error instanceof NoWholeAnswerInTime) return true;
  if (!(error instanceof Stripe.errors.StripeConnectionError)) return false;
  return (
    (error.detail as { code?: unknown } | undefined)?.code === Stripe.HttpClient.TIMEOUT_ERROR_CODE
  );
}

/**
 * Runs a call of the SDK. Its attempts read their deadline from `call`, and set `inDoubt` and `stored` in it. The SDK's
 * timeout covers only silence on the socket; this deadline also covers a slow body and the pauses between attempts.
 * @throws an error for which `isDeadlineExceeded` is true, about 100 ms after the deadline.
 */
export async function withDeadline<T>(call: Call, run: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const left = Math.max(0, call.deadline - elapsedMs());
    timer = setTimeout(() => reject(new NoWholeAnswerInTime()), left + 100);
  });
  try {
    return await Promise.race([calls.run(call, run), late]);
  } finally {
    clearTimeout(timer);
  }
}
