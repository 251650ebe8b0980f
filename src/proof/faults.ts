import { setTimeout as delay } from 'node:timers/promises';
import { signal } from '../local/processes.js';
import type { Toxic } from './links/link.js';
import { nameOf, type Cell } from './plan.js';
import type { Random } from './random.js';
import type { Recorder } from './recorder.js';
import type { Workload, CrashPoint } from './workload.js';
import { LEASE_MS, type LinkName, type ProgramName, type World } from './world/world.js';

/** A fault that changes nothing for this long ends. Its cell waits for its next turn. */
const PATIENCE_MS = 6_000;

/** Each minute ends with this much time without faults, in ms. Only then can the time of a recovery be measured. */
const CALM_MS = 12_000;
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
    let hits = 0;
    link.poison(toxic, () => hits++);
    const until = Date.now() + this.random.between(400, 2_000);
    const patience = Date.now() + PATIENCE_MS;
    // A lost COMMIT is one fault. Others last, so that several requests meet them.
    const isOver = () =>
      hits > 0 ? toxic.startsWith('commit') || Date.now() > until : Date.now() > patience;
    while (!isOver() && !stopping.aborted) await delay(20);
    link.heal();
    if (hits > 0) this.count(nameOf({ point: name, action: toxic }));
  }

  private async hurtPostgres(action: string): Promise<void> {
    const { postgres } = this.world;
    if (action === 'SIGKILL') {
      const before = postgres.starts();
      postgres.kill();
      while (postgres.starts() === before) await delay(20);
      this.count('postgres × SIGKILL');
    } else {
      const how = action === 'a session SIGKILL' ? 'SIGKILL' : 'terminate';
      const done = await postgres.endSession(how).catch(() => false);
      if (done) this.count(`postgres × ${action}`);
    }
    for (let tries = 0; tries < 100; tries++) {
      if (await this.world.isReady('api', 0)) return;
      await delay(100);
    }
  }

  private async crash(at: CrashPoint, stopping: AbortSignal): Promise<void> {
    let isDone = false;
    this.workload.crash = { at, done: () => (isDone = true) };
    const patience = Date.now() + PATIENCE_MS;
    while (!isDone && Date.now() < patience && !stopping.aborted) await delay(20);
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
      while (program.pid() === pid) await delay(10);
    } else {
      signal(pid, 'SIGSTOP');
      await delay(LEASE_MS + this.random.between(300, 1_500));
      signal(pid, 'SIGCONT');
    }
    this.count(`${name} × ${action}`);
    await this.untilReady(name);
  }

  private async untilReady(name: ProgramName): Promise<void> {
    const count = this.world.programs[name].length;
    for (let tries = 0; tries < 300; tries++) {
      const ready = await Promise.all(
        Array.from({ length: count }, (_, i) => this.world.isReady(name, i)),
      );
      if (ready.every(Boolean)) return;
      await delay(100);
    }
  }
}
