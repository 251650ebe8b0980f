import { randomBytes } from 'node:crypto';
import type { Knowledge, Run, RunEvent, Track } from '../run.js';
import type { LiveRun } from './live-run.js';

/** Succeeded payments of a storm, by track: ids as the ledger has them. */
export type PaidIds = Record<Track, readonly string[]>;

/** A storm numbers its attempts across all purchases, so that each event names its purchase: ten for each. */
export interface Numbering {
  attemptsEach: number;
}

/** What happens to a process concerns every purchase. */
const OF_ALL: ReadonlySet<RunEvent['kind']> = new Set(['killed', 'started']);

/** The purchase that went worst, as a run of its own: one paid twice with the key, or else one without it. */
export function exampleOf(live: LiveRun, paid: PaidIds, numbering: Numbering): Run | undefined {
  const { run } = live;
  const worst = (['keyed', 'naive'] as const)
    .map((track) => mostPaid(run, track, paid[track], numbering))
    .find((purchase) => purchase !== undefined);
  if (worst === undefined) return undefined;
  const isOf = ({ attempt = -1 }: RunEvent) =>
    Math.floor(attempt / numbering.attemptsEach) === worst;
  const own = run.events.filter(isOf);
  const [first, last] = [own[0]?.atMs ?? 0, own.at(-1)?.atMs ?? 0];
  const events = run.events
    .filter((event) => isOf(event) || (OF_ALL.has(event.kind) && isBetween(event, first, last)))
    .map((event, i) => ({
      ...event,
      seq: i + 1,
      atMs: event.atMs - first,
      ...(event.attempt !== undefined && { attempt: event.attempt % numbering.attemptsEach }),
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
function mostPaid(
  { events }: Run,
  track: Track,
  paid: readonly string[],
  { attemptsEach }: Numbering,
): number | undefined {
  const answers = new Map<number, RunEvent[]>();
  for (const event of events) {
    if (event.kind !== 'answer' || event.attempt === undefined) continue;
    const purchase = Math.floor(event.attempt / attemptsEach);
    answers.set(purchase, [...(answers.get(purchase) ?? []), event]);
  }
  const counted = [...answers].map(([purchase, own]) => ({
    purchase,
    count: paymentsOf(own, track, paid).size,
  }));
  const [most] = counted.sort((one, other) => other.count - one.count);
  return most && most.count > 1 ? most.purchase : undefined;
}

/** The payments of the ledger that the processor's answers name. */
function paymentsOf(
  events: readonly RunEvent[],
  track: Track,
  paid: readonly string[],
): Set<string> {
  const known = new Set(paid);
  const named = events
    .filter((event) => event.track === track && event.kind === 'answer')
    .flatMap(({ detail }) => detail?.bytes?.match(/\bpi_\w+/g) ?? []);
  return new Set(named.filter((id) => known.has(id)));
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
