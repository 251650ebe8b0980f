import { setTimeout as delay } from 'node:timers/promises';
import { signal } from '../local/processes.js';
import type { Toxic } from './links/link.js';
import { nameOf, type Cell } from './plan.js';
import type { Random } from './random.js';
import type { Recorder } from './recorder.js';
import { isTrueWithin, until } from './until.js';
import type { Workload, CrashPoint } from './workload.js';
import { LEASE_MS, type LinkName, type ProgramName, type World } from './world/world.js';

/** A fault that changes nothing for this long ends. Its cell waits for its next turn. */
const PATIENCE_MS = 6_000;

/** Each minute ends with this much time without faults, in ms. Only then can the time of a recovery be measured. */
const CALM_MS = 12_000;

/** Longer than any lease or deadline, and longer than a signed notification is valid, in both directions. */
const CLOCK_JUMPS_MS = [-86_400_000, -600_000, -4_000, 4_000, 600_000, 86_400_000];

/** A process or PostgreSQL that is not back after this long, on a loaded machine, never comes back. */
const BACK_LIMIT_MS = 60_000;
const MINUTE_MS = 60_000;

/** Injects the faults of a plan, two at a time, and counts the cells that it has hit. */
export class Faults {
  readonly hits = new Map<string, number>();
  private readonly busy = new Set<string>();
  private deck: Cell[] = [];
  private counter = 0;
  private readonly begun = Date.now();

  constructor(
    private readonly world: World,
    private readonly workload: Workload,
    private readonly recorder: Recorder,
    private readonly random: Random,
    private readonly plan: Cell[],
  ) {
    for (const cell of plan) this.hits.set(nameOf(cell), 0);
    workload.onMethod = (method) => this.count(`processor × ${method}`);
  }

  private isCalm(): boolean {
    return (Date.now() - this.begun) % MINUTE_MS > MINUTE_MS - CALM_MS;
  }

  missed(): string[] {
    return [...this.hits].filter(([, hits]) => hits === 0).map(([name]) => name);
  }

  async run(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      const cell = this.isCalm() ? undefined : this.next();
      if (cell) await this.inject(cell, stopping);
      await delay(this.random.between(100, 1_200), undefined, { signal: stopping }).catch(
        () => undefined,
      );
    }
  }

  /** The next cell of the shuffled deck whose point is free. Cells that were never hit come first. */
  private next(): Cell | undefined {
    if (this.deck.length === 0) {
      const missed = this.plan.filter((cell) => !this.hits.get(nameOf(cell)));
      this.deck = this.random.shuffle(missed.length > 0 ? missed : this.plan);
    }
    const at = this.deck.findIndex(({ point }) => !this.busy.has(point));
    return at < 0 ? undefined : this.deck.splice(at, 1)[0];
  }

  private async inject(cell: Cell, stopping: AbortSignal): Promise<void> {
    const { point, action } = cell;
    if (action.startsWith('pm_')) return; // the workload chooses payment methods
    const fault = ++this.counter;
    this.busy.add(point);
    this.recorder.line({ what: 'fault-begin', fault, at: Date.now(), point, action });
    try {
      if (point.includes('→')) await this.poison(point as LinkName, action as Toxic, stopping);
      else if (point === 'postgres') await this.hurtPostgres(action);
      else if (action.startsWith('crash-')) await this.crash(action as CrashPoint, stopping);
      else if (action === 'clock jump') await this.shiftClock(point);
      else await this.signalProgram(point as ProgramName, action);
    } finally {
      this.recorder.line({ what: 'fault-end', fault, at: Date.now(), point, action });
      this.busy.delete(point);
    }
  }

  private count(name: string): void {
    const hits = this.hits.get(name);
    if (hits !== undefined) this.hits.set(name, hits + 1);
  }

  private async poison(name: LinkName, toxic: Toxic, stopping: AbortSignal): Promise<void> {
    const link = this.random.pick(this.world.links.get(name)!);
    const begun = Date.now();
    // On the API's link to PostgreSQL, one lost COMMIT is enough. A pause must last longer than a lease. Others last
    // for several requests or jobs.
    const least = toxic === 'pause' ? this.pastTheLease() : this.random.between(400, 2_000);
    const leastMs = name === 'api → postgres' && toxic.startsWith('commit') ? 0 : least;
    let hits = 0;
    link.poison(toxic, () => hits++);
    await isTrueWithin(PATIENCE_MS, () => hits > 0, stopping);
    if (hits > 0) await isTrueWithin(leastMs, () => Date.now() - begun >= leastMs, stopping);
    link.heal();
    if (hits > 0) this.count(nameOf({ point: name, action: toxic }));
  }

  private pastTheLease(): number {
    return LEASE_MS + this.random.between(300, 1_500);
  }

  private async hurtPostgres(action: string): Promise<void> {
    const { postgres } = this.world;
    if (action === 'SIGKILL') {
      const before = postgres.starts();
      postgres.kill();
      await until('PostgreSQL is started again', BACK_LIMIT_MS, () => postgres.starts() > before);
      this.count('postgres × SIGKILL');
    } else if (action === 'disk full') {
      await this.fillDisk();
    } else {
      const how = action === 'a session SIGKILL' ? 'SIGKILL' : 'terminate';
      const done = await postgres.endSession(how).catch(() => false);
      if (done) this.count(`postgres × ${action}`);
    }
    await this.untilReady('api');
  }

  private async fillDisk(): Promise<void> {
    const { postgres } = this.world;
    try {
      await postgres.disk!.fill();
      const isFull = await isTrueWithin(PATIENCE_MS, () => postgres.isFull());
      await delay(this.random.between(1_000, 4_000));
      if (isFull) this.count('postgres × disk full');
    } finally {
      await postgres.disk!.free();
    }
    await until('PostgreSQL answers again', BACK_LIMIT_MS, async () => !(await postgres.isFull()));
  }

  private async crash(at: CrashPoint, stopping: AbortSignal): Promise<void> {
    let isDone = false;
    this.workload.crash = { at, done: () => (isDone = true) };
    await isTrueWithin(PATIENCE_MS, () => isDone, stopping);
    this.workload.crash = undefined;
    if (!isDone) return;
    this.count(`api × ${at}`);
    await this.untilReady('api');
  }

  private async signalProgram(name: ProgramName, action: string): Promise<void> {
    const program = this.random.pick(this.world.programs[name]);
    const pid = program.pid();
    if (pid === undefined) return;
    if (action === 'SIGKILL') {
      signal(pid, 'SIGKILL');
      await until(`${name} has ended`, BACK_LIMIT_MS, () => program.pid() !== pid);
    } else {
      signal(pid, 'SIGSTOP');
      await delay(this.pastTheLease());
      signal(pid, 'SIGCONT');
    }
    this.count(`${name} × ${action}`);
    await this.untilReady(name);
  }

  /** Shifts the wall clock of one process, and later back. */
  private async shiftClock(name: ProgramName): Promise<void> {
    const program = this.random.pick(this.world.programs[name]);
    await program.shiftClock(this.random.pick(CLOCK_JUMPS_MS));
    await delay(this.random.between(1_000, 4_000));
    await program.shiftClock(0);
    this.count(`${name} × clock jump`);
  }

  private async untilReady(name: ProgramName): Promise<void> {
    const programs = this.world.programs[name];
    await until(`every ${name} is ready`, BACK_LIMIT_MS, async () => {
      const ready = await Promise.all(programs.map(({ isReady }) => isReady()));
      return ready.every(Boolean);
    });
  }
}
