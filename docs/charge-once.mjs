const BASE_MS = 200; // a smaller value would overload a server that has just restarted
const CAP_MS = 10_000;
const PATIENCE_MS = 15_000; // for one attempt: longer than the server waits for its processor
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The attempt has no outcome yet. Retry later with the same key. */
export class OutcomeUnknown extends Error {}

/** Charges once, however often it is called with this key. Returns the status and the body. */
export async function chargeOnce({ api, apiKey, key, body, attempts = 8, sleep = pause }) {
  if (!key) throw new TypeError('the purchase has no key');
  // Built before the first attempt: an invalid request is the caller's error, not a lost response.
  const url = new URL(`${api}/charges`);
  const headers = new Headers({
    Authorization: `Bearer ${apiKey}`,
    'Content-Type': 'application/json',
    'Idempotency-Key': key,
  });
  const request = { method: 'POST', headers, body: JSON.stringify(body) };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const answer = await send(url, request);
    if (!mayRepeat(answer)) return { status: answer.status, body: answer.body };
    const jitter = Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
    await sleep((answer?.retryAfter ?? 0) * 1000 + jitter);
  }
  throw new OutcomeUnknown(`no outcome yet for ${key}`);
}

async function send(url, request) {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(PATIENCE_MS) });
    return {
      status: response.status,
      retryAfter: Number(response.headers.get('Retry-After')) || 0,
      body: await response.json().catch(() => undefined), // a proxy's page, or a truncated answer
    };
  } catch {
    return undefined; // no answer
  }
}

/** Whether to send the same request with the same key again. The `retry` member of a problem decides. */
function mayRepeat(answer) {
  if (!answer?.body || typeof answer.body !== 'object') return true; // no answer, or not from the API
  const { status, body } = answer;
  if (status < 400) return false;
  if (body.retry !== undefined) return body.retry === 'same_key';
  return status >= 500 || status === 408 || status === 429; // a proxy's
}
