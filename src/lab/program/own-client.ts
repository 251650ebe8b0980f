import { randomUUID } from 'node:crypto';
import { curlOf } from './client.js';
import type { LiveRun } from './live-run.js';
import type { ProcessorLedger } from './processor-ledger.js';
import type { Runs } from './runs.js';
import { whatWasPaid } from './stage.js';

/** How long such a run stays open. The time starts when the run is opened, not at the first request. */
const OPEN_MS = 15 * 60_000;

/** Opens a run for requests from the visitor's own terminal. It ends when the visitor stops it, or after OPEN_MS. */
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
