import { randomBytes } from 'node:crypto';
import { ATTEMPTS_EACH } from '../designs/storm.js';
import type { Knowledge, Run, RunEvent, Track } from '../run.js';
import type { LiveRun } from './live-run.js';

/** Succeeded payments of a storm, by track, each with our id, which the call to the processor contained. */
export type Paid = Record<Track, readonly { id: string; charge: string }[]>;

/** What happens to a process concerns every purchase. */
const OF_ALL: ReadonlySet<RunEvent['kind']> = new Set(['killed', 'started']);

/** The worst purchase, as a run: one with several payments with the key if there is one, otherwise without it. */
export function exampleOf(live: LiveRun, paid: Paid): Run | undefined {
  const { run } = live;
  const worst = (['keyed', 'naive'] as const)
    .map((track) => mostPaid(run, track, paid[track]))
    .find((purchase) => purchase !== undefined);
  if (worst === undefined) return undefined;
  const isOf = (event: RunEvent) => purchaseOf(event) === worst;
  const own = run.events.filter(isOf);
  const [first, last] = [own[0]?.atMs ?? 0, own.at(-1)?.atMs ?? 0];
  const events = run.events
    .filter((event) => isOf(event) || (OF_ALL.has(event.kind) && isBetween(event, first, last)))
    .map((event, i) => ({
      ...event,
      seq: i + 1,
      atMs: event.atMs - first,
      ...(event.attempt !== undefined && { attempt: event.attempt % ATTEMPTS_EACH }),
    }));
  const counts = {
    naive: paymentsOf(own, 'naive', paid.naive).size,
    keyed: paymentsOf(own, 'keyed', paid.keyed).size,
  };
  return {
    ...{ id: randomBytes(6).toString('hex'), scenario: 'storm', startedAt: run.startedAt },
    title: `Storm, seed ${run.parameters.seed}: purchase ${worst + 1}`,
    ...{ parameters: run.parameters, state: 'ended', rows: [], events },
    knowledge: knowledgeOf(live, worst, events),
    verdict: {
      sentence: `Without a key: paid ${counts.naive} times. With the key: paid ${counts.keyed} ${counts.keyed === 1 ? 'time' : 'times'}.`,
      payments: counts,
      holds: counts.keyed <= 1,
    },
  };
}

/** @returns the purchase with the most payments, if it has more than one. */
function mostPaid({ events }: Run, track: Track, paid: Paid[Track]): number | undefined {
  const calls = new Map<number, RunEvent[]>();
  for (const event of events) {
    const purchase = purchaseOf(event);
    if (event.kind !== 'call' || purchase === undefined) continue;
    calls.set(purchase, [...(calls.get(purchase) ?? []), event]);
  }
  const counted = [...calls].map(([purchase, own]) => ({
    purchase,
    count: paymentsOf(own, track, paid).size,
  }));
  const [most] = counted.sort((one, other) => other.count - one.count);
  return most && most.count > 1 ? most.purchase : undefined;
}

/** The purchase of an event, by the number of its attempt. */
function purchaseOf({ attempt }: RunEvent): number | undefined {
  return attempt === undefined ? undefined : Math.floor(attempt / ATTEMPTS_EACH);
}

/** The ledger's payments that these calls made, by the id in the request: a killed process gave no answer. */
function paymentsOf(events: readonly RunEvent[], track: Track, paid: Paid[Track]): Set<string> {
  const calls = events.filter((event) => event.track === track && event.kind === 'call');
  const text = calls.map(({ detail }) => detail?.bytes ?? '').join(' ');
  return new Set(paid.filter(({ charge }) => text.includes(charge)).map(({ id }) => id));
}

/** What the clients of the storm reported, at the time of the attempt's last event. */
function knowledgeOf(live: LiveRun, worst: number, events: readonly RunEvent[]): Knowledge[] {
  return live.stream.flatMap((item) => {
    if (item.type !== 'storm' || item.data.purchase !== worst) return [];
    const { track, attempt, status, believed } = item.data;
    const last = events.findLast((event) => event.track === track && event.attempt === attempt);
    const text = status ? String(status) : 'the connection closed without an answer';
    return last ? [{ atMs: last.atMs, track, attempt, state: believed, text }] : [];
  });
}

function isBetween({ atMs }: RunEvent, first: number, last: number): boolean {
  return atMs >= first && atMs <= last;
}
