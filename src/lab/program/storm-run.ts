import { runStorm } from '../designs/storm.js';
import type { StormTick, Track } from '../run.js';
import type { LiveRun } from './live-run.js';
import type { Runs } from './runs.js';

/** The ledger is read this often while the storm goes on. */
const COUNT_EVERY_MS = 700;
const TRACKS: Track[] = ['keyed', 'naive'];

/** Begins a storm against the API. It goes on by itself; what it does is in the run's stream. */
export async function beginStorm(
  runs: Runs,
  { seed, purchases }: { seed: number; purchases: number },
  visitor: string,
): Promise<LiveRun> {
  const run = await runs.open('storm', `Storm ${seed}`, { seed, purchases }, TRACKS, visitor);
  void storm(runs, run, seed, purchases);
  return run;
}

async function storm(runs: Runs, run: LiveRun, seed: number, purchases: number): Promise<void> {
  const asked = new Set<number>();
  let payments = { keyed: 0, naive: 0 };
  const count = async () => {
    const [keyed = 0, naive = 0] = await Promise.all(
      TRACKS.map(async (track) => {
        const account = run.accountOf(track)?.account ?? '';
        const found = await runs.tools.ledger.paymentsOf(account, run.began);
        return found.filter(({ status }) => status === 'succeeded').length;
      }),
    );
    payments = { keyed, naive };
  };
  const counting = setInterval(() => void count().catch(() => undefined), COUNT_EVERY_MS);
  try {
    const result = await runStorm({
      ...{ apiUrl: runs.tools.apiUrl, run: run.run.id, seed, purchases },
      apiKeyOf: (track) => run.accountOf(track)?.apiKey ?? '',
      signal: run.stopping.signal,
      onTick: (tick) => {
        asked.add(tick.purchase);
        run.storm({ ...tick, payments, purchases: asked.size });
      },
    });
    await count();
    run.storm({ ...LAST, payments, purchases: result.purchases });
    const { keyed, naive } = payments;
    const holds = keyed === result.believed.keyed.ok && result.believed.keyed.unknown === 0;
    run.verdict({
      sentence: `${result.purchases} purchases. Without a key: ${naive} payments. With the key: ${keyed}.`,
      payments: { keyed, naive },
      holds,
    });
    runs.finish(run, 'ended');
  } catch {
    runs.finish(run, 'failed');
  } finally {
    clearInterval(counting);
  }
}

/** The last line of a storm: no attempt, only the counters. */
const LAST: StormTick = {
  client: -1,
  purchase: -1,
  track: 'keyed',
  attempt: 0,
  status: 0,
  fault: '',
  believed: 'ok',
};
