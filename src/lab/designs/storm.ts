import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../local/random.js';
import type { StormTick, Track } from '../run.js';

export interface StormOptions {
  apiUrl: string;
  /** Each track has its own account, so that the ledger shows them separately. */
  apiKeys: Record<Track, string>;
  /** The run's id: part of each key, and of `Lab-Run`. */
  run: string;
  /** The same seed gives the same purchases with the same faults. The network and the scheduler are not seeded. */
  seed: number;
  purchases: number;
  onTick: (tick: StormTick) => void;
  signal?: AbortSignal;
}

export interface StormResult {
  /** The number of purchases on each track. */
  purchases: number;
  /** What the clients know at the end, by track. */
  believed: Record<Track, { ok: number; unknown: number }>;
}

/** Concurrent clients. More would only queue at one API process. */
const CLIENTS = 6;
/** A killed API is back within a second or two. */
const RETRY_PAUSE_MS = 400;
const PATIENCE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 15_000;

/** `Lab-Run` numbers the attempts of all purchases, so that each event of the journal names its purchase. */
export const ATTEMPTS_EACH = 10;

const NETWORK = ['lose-request', 'lose-response'];
const KILLS = [
  'crash-before-reserve',
  'crash-after-reserve',
  'crash-after-processor',
  'crash-after-settle',
];

/** Makes the same purchases on both tracks, and loses messages and kills processes meanwhile. */
export async function runStorm(options: StormOptions): Promise<StormResult> {
  const { seed, purchases, signal } = options;
  const random = seededRandom(seed);
  const plans = Array.from({ length: purchases }, (_, i) => planOf(i, random));
  const believed = { keyed: { ok: 0, unknown: 0 }, naive: { ok: 0, unknown: 0 } };
  let next = 0;
  let bought = 0;
  const client = async (name: number) => {
    for (;;) {
      const plan = plans[next++];
      if (!plan || signal?.aborted) return;
      const tracks = ['keyed', 'naive'] as const;
      await Promise.all(
        tracks.map(async (track) => {
          const isOk = await buy(track, plan, name, options);
          believed[track][isOk ? 'ok' : 'unknown'] += 1;
        }),
      );
      bought += 1;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, name) => client(name)));
  return { purchases: bought, believed };
}

interface Plan {
  purchase: number;
  amount: number;
  /** The faults of the first attempts, in order. */
  faults: string[];
}

function planOf(purchase: number, random: () => number): Plan {
  const pick = (names: readonly string[]) => names[Math.floor(random() * names.length)] ?? '';
  const faults: string[] = [];
  // Half of all purchases have no fault. One first attempt in eight is killed.
  while (random() < 0.5 && faults.length < 3) faults.push(pick(random() < 0.25 ? KILLS : NETWORK));
  return { purchase, amount: 500 + Math.floor(random() * 5_000), faults };
}

/**
 * One purchase by a careful client, which repeats the same request until there is an answer. @returns whether there
 * was one.
 */
async function buy(
  track: Track,
  { purchase, amount, faults }: Plan,
  client: number,
  { apiUrl, apiKeys, run, onTick, signal }: StormOptions,
): Promise<boolean> {
  const end = performance.now() + PATIENCE_MS;
  for (let attempt = 1; performance.now() < end && !signal?.aborted; attempt++) {
    const planned = faults[attempt - 1];
    // The naive lane has no points for a kill. It loses its answer instead, or is hit by a kill of the other track.
    const fault = track === 'naive' && planned?.startsWith('crash-') ? 'lose-response' : planned;
    const status = await post(
      new URL(track === 'keyed' ? '/charges' : '/lab/naive/charges', apiUrl),
      {
        Authorization: `Bearer ${apiKeys[track]}`,
        'Lab-Run': `${run}.${purchase * ATTEMPTS_EACH + Math.min(attempt, ATTEMPTS_EACH - 1)}`,
        ...(track === 'keyed' && { 'Idempotency-Key': `${run}-${purchase}` }),
        ...(fault && { 'Lab-Fault': fault }),
      },
      JSON.stringify({ amount, currency: 'usd', payment_method: 'pm_card_visa' }),
    );
    const isOk = status >= 200 && status < 300;
    onTick({
      ...{ client, purchase, track, attempt, status, fault: fault ?? '' },
      believed: isOk
        ? 'ok'
        : status === 0 || status === 409 || status >= 500
          ? 'unknown'
          : 'failed',
    });
    if (isOk) return true;
    await delay(RETRY_PAUSE_MS);
  }
  return false;
}

/** @returns 0 if there was no answer. */
function post(url: URL, headers: Record<string, string>, body: string): Promise<number> {
  return new Promise((done) => {
    const options = { method: 'POST', agent: false, timeout: REQUEST_TIMEOUT_MS };
    const sent = request(
      url,
      { ...options, headers: { ...headers, 'Content-Type': 'application/json' } },
      (response) => {
        response.resume();
        response.on('end', () => done(response.statusCode ?? 0)).on('error', () => done(0));
        response.on('close', () => done(0)); // the response broke off
      },
    );
    sent.on('timeout', () => sent.destroy()).on('error', () => done(0));
    sent.end(body);
  });
}
