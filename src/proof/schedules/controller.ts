import { setTimeout as delay } from 'node:timers/promises';
import { Actor, type Kind } from './actors.js';
import { choicesOf, type Possible } from './choices.js';
import { Gate } from './gate.js';
import type { Lane } from './lane.js';
import { blockersOf, endLease, expireAnswer, observe, removeRecord } from './observation.js';
import { newPurchase, type Purchase } from './purchase.js';
import type { Run } from './run.js';
import type { Scenario } from './scenario.js';

/** How often the controller looks whether a released statement is blocked, in ms. */
const POLL_MS = 2;

/** No schedule needs so many choices. One that does never ends. */
const LONGEST = 200;

/** The same choices led to another state: the schedule depends on something that the controller does not decide. */
export class Diverged extends Error {}

/** Runs one schedule: the given choices, then always the first possible one. */
export async function runSchedule(
  lane: Lane,
  scenario: Scenario,
  prefix: readonly string[],
): Promise<Run> {
  const controller = await Controller.start(lane, scenario);
  try {
    return await controller.run(prefix);
  } finally {
    await controller.cleanUp();
  }
}

class Controller implements Possible {
  private readonly run_: Run;
  private wake: () => void = () => undefined;
  readonly events: Set<string>;
  clockMoved = false;
  alone: Actor | undefined;

  private constructor(
    private readonly lane: Lane,
    scenario: Scenario,
    purchase: Purchase,
  ) {
    this.run_ = {
      scenario,
      choices: [],
      possible: [],
      steps: [],
      observations: [],
      actors: [],
      purchase,
      redundant: false,
      stuck: [],
    };
    this.events = new Set((['lease', 'expiry', 'crash'] as const).filter((name) => scenario[name]));
  }

  static async start(lane: Lane, scenario: Scenario): Promise<Controller> {
    const purchase = await newPurchase(lane.control, scenario.order);
    const controller = new Controller(lane, scenario, purchase);
    for (const kind of scenario.actors) await controller.add(kind);
    await controller.settle();
    await controller.look();
    return controller;
  }

  async run(prefix: readonly string[]): Promise<Run> {
    const { choices, possible, stuck, actors } = this.run_;
    while (choices.length < LONGEST) {
      const options = choicesOf(this.run_, this);
      this.run_.redundant ||= options.length === 0 && this.clockMoved;
      if (this.run_.redundant) return this.run_;
      if (options.length === 0) break;
      const chosen = prefix[choices.length] ?? options[0]!;
      if (!options.includes(chosen))
        throw new Diverged(`${chosen} is not possible after ${choices.join()}`);
      choices.push(chosen);
      possible.push(options);
      await this.take(chosen);
    }
    if (choices.length === LONGEST) stuck.push('all');
    for (const { gate } of actors)
      if (gate.status === 'running' || gate.status === 'ready') stuck.push(gate.actor);
    if (stuck.length === 0) await this.retryLate();
    return this.run_;
  }

  /** At the end, the client sends its request once more. */
  private async retryLate(): Promise<void> {
    this.alone = await this.add('retry');
    await this.settle();
    while (this.alone.gate.status === 'ready') {
      if (this.run_.steps.length > LONGEST) return void this.run_.stuck.push('the late retry');
      await this.step(this.alone);
    }
  }

  private async take(choice: string): Promise<void> {
    const { actors, purchase } = this.run_;
    const { control } = this.lane;
    this.clockMoved = this.events.has(choice) && !choice.startsWith('x');
    this.events.delete(choice.startsWith('x') ? 'crash' : choice);
    if (choice === 'lease') {
      await this.happens('the lease ends', () => endLease(control, purchase));
    } else if (choice === 'expiry') {
      await this.happens('the stored answer expires', () => expireAnswer(control, purchase));
    } else if (choice === 'sweep' || choice === 'retry') {
      await this.happens('the lease ends', () => endLease(control, purchase));
      this.alone = await this.add(choice);
      await this.settle();
    } else if (choice.startsWith('x')) {
      await this.crash(actors[Number(choice.slice(1))]!);
    } else {
      await this.step(actors[Number(choice)]!);
    }
  }

  private async step({ gate }: Actor): Promise<void> {
    const waiting = this.run_.actors.map((actor) => ({ ...actor.gate, gate: actor.gate }));
    this.run_.steps.push(gate.release());
    await this.settle();
    await this.look();
    this.run_.redundant ||= !gate.blocked && waiting.some(stillWaits);
  }

  private async happens(what: string, act: () => Promise<void>): Promise<void> {
    this.run_.steps.push({ actor: '', what, result: '' });
    await act();
    await this.look();
  }

  private async crash({ gate, session }: Actor): Promise<void> {
    gate.crash();
    await session.terminate(this.lane.control);
    await this.settle();
    await this.happens(`${gate.actor} crashes`, async () => undefined);
  }

  private async add(kind: Kind): Promise<Actor> {
    const { actors, purchase } = this.run_;
    const gate = new Gate(`${actors.length} ${kind}`, () => this.wake());
    const session = await this.lane.session(actors.length);
    const actor = new Actor(kind, gate, session, purchase);
    actors.push(actor);
    return actor;
  }

  /** Waits until each actor has stopped at its next statement, has ended, or is blocked by a stopped actor. */
  private async settle(): Promise<void> {
    let hurry = true;
    for (;;) {
      const running = this.run_.actors.filter(({ gate }) => gate.status === 'running');
      if (running.length === 0) return;
      const mayBeDone = hurry && running.every(({ gate }) => gate.blocked);
      const changed = mayBeDone ? false : await this.changedWithin(POLL_MS);
      hurry = false;
      if (changed) continue;
      const blockers = await blockersOf(
        this.lane.control,
        running.map(({ session }) => session.pid),
      );
      const ours = new Set(this.run_.actors.map(({ session }) => session.pid));
      for (const { gate, session } of running)
        gate.blockers = (blockers.get(session.pid) ?? []).filter((pid) => ours.has(pid)).join();
      if (running.every(({ gate }) => gate.status === 'running' && gate.blocked)) return;
    }
  }

  private async changedWithin(ms: number): Promise<boolean> {
    const timer = new AbortController();
    const changed = new Promise<boolean>((resolve) => (this.wake = () => resolve(true)));
    const late = delay(ms, false, { signal: timer.signal }).catch(() => false);
    const result = await Promise.race([changed, late]);
    timer.abort();
    return result;
  }

  private async look(): Promise<void> {
    this.run_.observations.push(await observe(this.lane.control, this.run_.purchase));
  }

  /** Ends open transactions, and removes the record: the sweep and the reaper of the next schedule would find it. */
  async cleanUp(): Promise<void> {
    const { actors, purchase } = this.run_;
    const open = actors.filter(({ gate }) => gate.status === 'running' || gate.inTransaction);
    const alive = open.filter(({ gate }) => gate.status !== 'crashed');
    for (const { gate } of actors) gate.crash();
    await Promise.all(alive.map(({ session }) => session.query('ROLLBACK').catch(() => undefined)));
    await removeRecord(this.lane.control, purchase);
  }
}

function stillWaits(before: { gate: Gate; blockers: string; inTransaction: boolean }): boolean {
  const { gate, blockers, inTransaction } = before;
  return blockers !== '' && gate.blockers === blockers && !inTransaction;
}
