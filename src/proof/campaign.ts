import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { check } from './checker/check.js';
import { QUIET_LIMIT_MS } from './checker/recovery.js';
import type { Violation } from './checker/violation.js';
import { readLedger, readRows, readUnfinished } from './collect.js';
import { Faults } from './faults.js';
import type { Journals } from './history.js';
import type { Cell } from './plan.js';
import type { Kind } from './purposes.js';
import { Random } from './random.js';
import { Recorder } from './recorder.js';
import type { Drawing } from './report/violations-html.js';
import { writeWitnesses } from './report/witnesses.js';
import { isTrueWithin } from './until.js';
import { Workload } from './workload.js';
import { LEASE_MS, startWorld, type World } from './world/world.js';

/** Jobs have growing pauses between attempts. What is missing after this long counts as missing for good. */
const EFFECTS_LIMIT_MS = 120_000;

/** A campaign lasts up to this much longer, until it has hit every cell and sent enough requests. */
const EXTENSION_MS = 120_000;

/** More than the keys that are open at a time, so that requests collide. */
const CLIENTS = 8;

const CHECK_PAUSE_MS = 2_000;
const PROGRESS_PAUSE_MS = 10_000;

export interface CampaignOptions {
  seed: number;
  ms: number;
  plan: Cell[];
  /** The folder for journals, logs and the data of PostgreSQL. */
  folder: string;
  /** The folder of built programs. */
  programs: string;
  apis?: number;
  /** How often each kind of key is chosen. */
  shares?: Record<Kind, number>;
  /** On a slow machine the campaign lasts longer, until this many requests were sent. */
  requests?: number;
  /** Checks repeatedly while it runs, and ends when one of these rules is broken. */
  endsAt?: readonly string[];
  /** How long after healing the effects of charges may take. Default: two minutes. */
  effectsLimitMs?: number;
  log: (line: string) => void;
}

export interface CampaignResult {
  violations: Violation[];
  /** A diagram for each violation. */
  drawings: Drawing[];
  /** The journals in which the violations were found. */
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
  await mkdir(folder, { recursive: true, mode: 0o755 }); // under root, PostgreSQL runs as another user
  const recorder = new Recorder(folder);
  const random = new Random(seed);
  const world = await startWorld({
    folder,
    programs: options.programs,
    apis: options.apis ?? 2,
    smallDisk: options.plan.some(({ action }) => action === 'disk full'),
    onMail: ({ messageId, charge, to }) => recorder.mail({ messageId, charge, to }),
    onDelivery: (delivery) => recorder.delivery(delivery),
  });
  try {
    const workload = new Workload(world, recorder, random.fork(), options.shares);
    await workload.prepare();
    log(`started: ${world.programs.api.length} APIs, 2 workers, PostgreSQL, processor`);
    const plan = possible(options.plan, world, log);
    const faults = new Faults(world, workload, recorder, random.fork(), plan);
    return await new Campaign(options, world, workload, recorder, faults).run(random);
  } finally {
    await world.stop();
    await recorder.close();
  }
}

/** Leaves out the cell of a full disk if this user may not mount a small one. */
function possible(plan: Cell[], { postgres }: World, log: CampaignOptions['log']): Cell[] {
  const cells = plan.filter(({ action }) => action !== 'disk full' || postgres.disk);
  if (cells.length < plan.length) log('no full disk: mounting one needs Linux and root');
  return cells;
}

interface Judged {
  journals: Journals;
  violations: Violation[];
}

class Campaign {
  private readonly begun = Date.now();

  constructor(
    private readonly options: CampaignOptions,
    private readonly world: World,
    private readonly workload: Workload,
    private readonly recorder: Recorder,
    private readonly faults: Faults,
  ) {}

  async run(random: Random): Promise<CampaignResult> {
    const { options, recorder, faults } = this;
    const stopping = new AbortController();
    const running = this.start(stopping.signal, random);
    running.catch(() => stopping.abort()); // a fault that cannot be injected ends the campaign
    const early = await this.untilOver(stopping.signal);
    stopping.abort();
    await running;
    const healedAt = Date.now();
    recorder.line({ what: 'healed', at: healedAt });
    const { journals, violations } = early ?? (await this.judgeWhenQuiet(healedAt));
    await writeFile(join(options.folder, 'journals.json'), JSON.stringify(journals));
    return {
      violations,
      drawings: await writeWitnesses(options.folder, journals, violations),
      journals,
      hits: [...faults.hits],
      missed: faults.missed(),
      foundAfterMs: violations.length > 0 ? (early?.foundAfterMs ?? this.ageMs()) : undefined,
      seconds: (healedAt - this.begun) / 1000,
    };
  }

  private async start(signal: AbortSignal, random: Random): Promise<void> {
    const { plan } = this.options;
    await Promise.all([
      ...Array.from({ length: CLIENTS }, () => this.workload.run(signal, random.fork())),
      ...(plan.length > 0 ? [this.faults.run(signal), this.faults.run(signal)] : []),
    ]);
  }

  /**
   * Waits until the campaign is over: after its time, and until every cell was hit and enough requests were sent, but
   * at most two minutes longer.
   * @returns violations that were found meanwhile. They are the result: a later retry may repair what they show.
   */
  private async untilOver(
    signal: AbortSignal,
  ): Promise<(Judged & { foundAfterMs: number }) | undefined> {
    const { ms, endsAt, log } = this.options;
    const isOver = () =>
      signal.aborted || this.ageMs() > (this.isEnough() ? ms : ms + EXTENSION_MS);
    for (let nextLine = PROGRESS_PAUSE_MS; !isOver();) {
      await delay(Math.min(CHECK_PAUSE_MS, ms));
      const journals = endsAt ? await this.read().catch(() => undefined) : undefined; // something may be down
      const violations = journals ? check(journals, false) : [];
      if (journals && violations.some(({ rule }) => endsAt?.includes(rule)))
        return { journals, violations, foundAfterMs: this.ageMs() };
      if (this.ageMs() < nextLine) continue;
      log(this.progress());
      nextLine += PROGRESS_PAUSE_MS;
    }
    return undefined;
  }

  private isEnough(): boolean {
    const { requests = 0 } = this.options;
    return this.faults.missed().length === 0 && this.recorder.requests >= requests;
  }

  private async judgeWhenQuiet(healedAt: number): Promise<Judged> {
    const { effectsLimitMs = EFFECTS_LIMIT_MS, log } = this.options;
    log('healed; waiting until nothing is unknown and nothing is unfinished');
    await this.workload.untilKnown(healedAt + QUIET_LIMIT_MS);
    await isTrueWithin(healedAt + effectsLimitMs - Date.now(), async () => {
      const unfinished = await readUnfinished(this.world).catch(() => ({ database: 1 }));
      return Object.values(unfinished).every((count) => count === 0);
    });
    const { mails, received } = this.recorder;
    // Not the copies of `read()`: a delivery that arrived after they were made may already be in the rows.
    const journals = { ...(await this.read()), mails, received };
    return { journals, violations: check(journals) };
  }

  private async read(): Promise<Journals> {
    const { recorder, world } = this;
    return {
      leaseMs: LEASE_MS,
      history: [...recorder.history],
      // The rows last, so that everything that was read before them has its row.
      mails: [...recorder.mails],
      received: [...recorder.received],
      ledger: await readLedger(world),
      rows: await readRows(world),
    };
  }

  private ageMs(): number {
    return Date.now() - this.begun;
  }

  private progress(): string {
    const { recorder, faults } = this;
    const count = (what: string) => recorder.history.filter((line) => line.what === what).length;
    const hit = [...faults.hits.values()].filter((hits) => hits > 0).length;
    return (
      `${Math.round(this.ageMs() / 1000)} of ${Math.round(this.options.ms / 1000)} s: ${count('invoke')} requests, ` +
      `${count('unknown')} of them unknown, ${count('fault-end')} faults, ${hit} of ${faults.hits.size} cells`
    );
  }
}
