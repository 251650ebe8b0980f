import { randomUUID } from 'node:crypto';
import { curlOf } from './client.js';
import type { LiveRun } from './live-run.js';
import type { ProcessorLedger } from './processor-ledger.js';
import type { Runs } from './runs.js';
import { whatWasPaid } from './stage.js';

/** How long a run waits for a client of the visitor's own. */
const OPEN_MS = 15 * 60_000;

/** A run whose requests come from the visitor's own terminal: it begins when they arrive, and ends when it is stopped. */
export async function openOwnClient(
  runs: Runs,
  ledger: ProcessorLedger,
  apiUrl: string,
  visitor: string,
): Promise<{ id: string; key: string; curl: string }> {
  const run = await runs.open('own-client', 'Your own client', {}, ['keyed'], visitor);
  const key = randomUUID();
  const curl = curlOf(apiUrl, {
    method: 'POST',
    path: '/charges',
    headers: {
      Authorization: `Bearer ${run.accounts[0]?.apiKey}`,
      'Idempotency-Key': key,
      'Content-Type': 'application/json',
    },
    body: '{"amount":1999,"currency":"usd","payment_method":"pm_card_visa"}',
  });
  const timer = setTimeout(() => run.stopping.abort(), OPEN_MS);
  run.stopping.signal.addEventListener('abort', () => {
    clearTimeout(timer);
    void conclude(runs, ledger, run);
  });
  return { id: run.run.id, key, curl };
}

async function conclude(runs: Runs, ledger: ProcessorLedger, run: LiveRun): Promise<void> {
  try {
    const paid = await ledger.succeededOf(run.accounts[0]!.account, run.began);
    const sentence = `The customer paid ${whatWasPaid(paid.map(({ amount }) => amount))}.`;
    run.verdict({ sentence, payments: { keyed: paid.length }, holds: true });
    runs.finish(run, 'ended');
  } catch (error) {
    await runs.fail(run, error);
  }
}
