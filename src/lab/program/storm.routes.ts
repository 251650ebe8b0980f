import type { Express, Request } from 'express';
import { runStorm } from '../designs/storm.js';
import type { StormTick } from '../run.js';
import { exampleOf } from './storm-example.js';
import { Lane } from './lane.js';
import { PaymentTally } from './storm-tally.js';
import type { LiveRun } from './live-run.js';
import { isWhole, RefusedParameter } from './parameters.js';
import type { Runs } from './runs.js';

const MAX_PURCHASES = 1_000;
const NEVER = new AbortController().signal;

/** Many purchases on both tracks, with losses and kills that a seed determines. */
export function stormRoutes(
  app: Express,
  runs: Runs,
  visitorOf: (request: Request) => string,
): void {
  app.post('/api/storm', async (request, response) => {
    const { seed = Math.floor(Math.random() * 1e6), purchases = 40 } = request.body ?? {};
    if (!isWhole(seed, 0, 2 ** 32 - 1)) throw new RefusedParameter('seed is a whole number');
    if (!isWhole(purchases, 1, MAX_PURCHASES))
      throw new RefusedParameter(`purchases is a whole number from 1 to ${MAX_PURCHASES}`);
    const run = await runs.open(
      'storm',
      'Storm',
      { seed, purchases },
      ['keyed', 'naive'],
      visitorOf(request),
    );
    void play(runs, run, seed, purchases);
    response.status(201).json({ id: run.run.id, seed });
  });
}

async function play(runs: Runs, run: LiveRun, seed: number, purchases: number): Promise<void> {
  const { apiUrl, ledger } = runs.tools;
  const tally = new PaymentTally(ledger, run);
  try {
    const result = await runStorm({
      ...{ apiUrl, seed, purchases, run: run.run.id, signal: run.stopping.signal },
      apiKeys: { keyed: run.accountOf('keyed')!.apiKey, naive: run.accountOf('naive')!.apiKey },
      onTick: (tick: StormTick) => run.storm({ ...tick, ...tally.now() }),
    });
    // Wait until recovery has nothing left to do, even if the storm was stopped: all requests that were sent count.
    await new Lane(run.accountOf('keyed')!, { run, ...runs.tools }).settled(60_000, NEVER);
    const { ours, naive } = await tally.atEnd();
    const example = exampleOf(run, await tally.paid());
    if (example) runs.keep(example);
    const known = result.believed.keyed.ok;
    const asked = result.purchases;
    run.verdict({
      sentence: `${asked} purchases. Without a key the customers paid ${naive} times; with the key ${ours} times. Seed ${seed}.`,
      payments: { keyed: ours, naive },
      ...(example && { example: example.id }),
      // A client that never got an answer may have paid or not. Each client with an answer has paid, and none twice.
      holds: ours <= asked && ours >= known && (await tally.isOncePerCharge()),
    });
    await runs.end(run, 'ended');
  } catch (error) {
    await runs.fail(run, error);
  } finally {
    tally.stop();
  }
}
