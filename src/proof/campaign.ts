import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ALWAYS, check } from './checker/check.js';
import { QUIET_LIMIT_MS } from './checker/recovery.js';
import type { Violation } from './checker/violation.js';
import { readLedger, readRows, readUnfinished } from './collect.js';
import { Faults } from './faults.js';
import type { Journals } from './history.js';
import type { Cell } from './plan.js';
import { Random } from './random.js';
import { Recorder } from './recorder.js';
import { Workload } from './workload.js';
import { LEASE_MS, startWorld, type World } from './world/world.js';

/** Jobs have growing pauses between attempts. After this long, what is missing counts as missing. */
const EFFECTS_LIMIT_MS = 120_000;

/** How much longer a campaign goes on until it has hit every cell. */
const EXTENSION_MS = 120_000;

export interface CampaignOptions {
  seed: number;
  ms: number;
  plan: Cell[];
  /** For journals, logs and the data of PostgreSQL. */
  folder: string;
  /** The folder of built programs. */
  programs: string;
  apis?: number;
  clients?: number;
  /** Checks now and then while it runs, and ends with the first violation. */
  endEarly?: boolean;
  /** How long after healing what follows from charges may take. Default: two minutes. */
  effectsLimitMs?: number;
  log: (line: string) => void;
}

export interface CampaignResult {
  violations: Violation[];
  journals: Journals;
  hits: [cell: string, hits: number][];
  missed: string[];
  /** From the first request to the first violation that was seen, in ms. */
  foundAfterMs?: number;
  seconds: number;
}

/** Starts the service, breaks it for a while, heals it, waits until it is quiet, and judges what was recorded. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { seed, folder, log } = options;
  await mkdir(folder, { recursive: true });
  const recorder = new Recorder(folder);
  const random = new Random(seed);
  const world = await startWorld({
    folder,
    programs: options.programs,
    apis: options.apis ?? 2,
    workers: 2,
    accounts: 2,
    onMail: (mail) => recorder.mail(mail),
    onDelivery: (delivery) => recorder.delivery(delivery),
  });
  try {
    const workload = new Workload(world, recorder, random.fork());
    await workload.prepare();
    log(`started: ${world.programs.api.length} APIs, 2 workers, PostgreSQL, processor`);
    return await judge(options, world, workload, recorder, random);
  } finally {
    await world.stop();
    await recorder.close();
  }
}

async function judge(
  options: CampaignOptions,
  world: World,
  workload: Workload,
  recorder: Recorder,
  random: Random,
): Promise<CampaignResult> {
  const { ms, plan, log, folder, clients = 8 } = options;
  const begun = Date.now();
  const faults = new Faults(world, workload, recorder, random.fork(), plan);
  const stopping = new AbortController();
  const running = [
    ...Array.from({ length: clients }, () => workload.run(stopping.signal, random.fork())),
    ...(plan.length > 0 ? [faults.run(stopping.signal), faults.run(stopping.signal)] : []),
  ];
  const journals = async (): Promise<Journals> => ({
    leaseMs: LEASE_MS,
    history: [...recorder.history],
    // The ledger first: a payment that is made later has no row to be missed.
    ledger: await readLedger(world),
    rows: await readRows(world, workload.initialStock()),
    mails: [...recorder.mails],
    received: [...recorder.received],
  });
  let foundAfterMs: number | undefined;
  // A cell that was never hit makes the run invalid, so the faults go on for a while.
  const isOver = () => Date.now() - begun > (faults.missed().length > 0 ? ms + EXTENSION_MS : ms);
  for (let lines = 0; !isOver(); lines++) {
    await delay(Math.min(2_000, ms));
    if (options.endEarly) {
      const soFar = await journals().catch(() => undefined); // PostgreSQL or the processor is down
      if (soFar && check(soFar, ALWAYS).length > 0) {
        foundAfterMs = Date.now() - begun;
        break;
      }
    }
    if (lines % 5 === 4) log(progress(recorder, faults, begun, ms));
  }
  stopping.abort();
  await Promise.all(running);
  recorder.line({ what: 'healed', at: Date.now() });
  log('healed; waiting until nothing is unknown and nothing is unfinished');
  const healedAt = Date.now();
  if (foundAfterMs === undefined) {
    await workload.untilKnown(healedAt + QUIET_LIMIT_MS);
    await untilQuiet(world, healedAt + (options.effectsLimitMs ?? EFFECTS_LIMIT_MS));
  }
  const final = await journals();
  const violations = check(final, foundAfterMs === undefined ? undefined : ALWAYS);
  if (violations.length > 0) foundAfterMs ??= Date.now() - begun;
  await writeFile(join(folder, 'journals.json'), JSON.stringify(final));
  const seconds = (healedAt - begun) / 1000;
  return {
    violations,
    journals: final,
    hits: [...faults.hits],
    missed: faults.missed(),
    foundAfterMs,
    seconds,
  };
}

async function untilQuiet(world: World, deadline: number): Promise<void> {
  while (Date.now() < deadline) {
    const unfinished = await readUnfinished(world).catch(() => ({ database: 1 }));
    if (Object.values(unfinished).every((count) => count === 0)) break;
    await delay(250);
  }
}

function progress({ history }: Recorder, faults: Faults, begun: number, ms: number): string {
  const count = (what: string) => history.filter((line) => line.what === what).length;
  const hit = [...faults.hits.values()].filter((hits) => hits > 0).length;
  const seconds = Math.round((Date.now() - begun) / 1000);
  return (
    `${seconds} of ${Math.round(ms / 1000)} s: ${count('invoke')} requests, ${count('unknown')} of them unknown, ` +
    `${count('fault-end')} faults, ${hit} of ${faults.hits.size} cells`
  );
}
