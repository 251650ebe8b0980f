/*
 * All schedules: what happens when several processes meet on one idempotency key, in every possible order.
 *
 * A load test, and a campaign like Jepsen's, sample the orders in which statements reach the database. A model checker
 * like TLA+'s tries all of them, but on a model of the code. This program tries all of them on the code itself, with a
 * real PostgreSQL. The method is called stateless model checking (VeriSoft, 1997).
 *
 * - An actor is one process: a request, the sweep, a notification. It has its own connection (actors.ts).
 * - A gate stops it before each statement and each call of the processor (gate.ts, gated-database.ts).
 * - The controller releases one statement at a time. Then it waits until the statement has ended, or until
 *   `pg_blocking_pids` shows that it waits for another actor's lock (controller.ts).
 * - The list of its choices is the schedule. The same choices give the same run, so a run can be replayed.
 * - No clock runs: "the lease ends", "the answer expires" and "a process dies" are choices as well.
 * - After each schedule, rows, payments and answers are judged (judge.ts).
 *
 * Orders that have the same effects are run once:
 * - A duplicate that polls is not released while its poll would find the record still held.
 * - An actor that holds no lock and waits for one: only directly before the step that ends its wait.
 * - The end of a lease, or the expiry of an answer: only directly before a statement that reads the clock.
 * - A crash outside of a transaction: only directly after the process' last statement.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Diverged, runSchedule } from './controller.js';
import type { Lane } from './lane.js';
import type { Run } from './run.js';
import type { Scenario } from './scenario.js';

/** How often a schedule that diverged is run again. */
const MAX_TRIES = 5;

/**
 * Runs the schedules of a scenario by depth-first search with replay. Each run repeats a prefix of choices, and
 * then takes the first possible actor until all have ended. Each choice that it did not take after its prefix starts
 * another run. No state is saved: a run always starts at the beginning. A redundant run ends early.
 * @param onRun called after each run that is not redundant. @returns the number of these runs.
 */
export async function explore(
  lanes: readonly Lane[],
  scenario: Scenario,
  onRun: (run: Run) => void,
): Promise<number> {
  const open: string[][] = [[]];
  let count = 0;
  let active = 0;
  const work = async (lane: Lane): Promise<void> => {
    for (;;) {
      const prefix = open.pop();
      if (!prefix) {
        if (active === 0) return;
        await delay(5);
        continue;
      }
      active += 1;
      const run = await replay(lane, scenario, prefix);
      open.push(...siblingsOf(run, prefix.length));
      active -= 1;
      if (run.redundant) continue;
      count += 1;
      onRun(run);
    }
  };
  await Promise.all(lanes.map(work));
  return count;
}

/** Sessions that wait for the same commit may continue in any order. Then the same choices need another try. */
export async function replay(
  lane: Lane,
  scenario: Scenario,
  choices: readonly string[],
): Promise<Run> {
  for (let tries = 1; ; tries++) {
    try {
      return await runSchedule(lane, scenario, choices);
    } catch (error) {
      if (!(error instanceof Diverged) || tries === MAX_TRIES) throw error;
    }
  }
}

function siblingsOf({ choices, possible }: Run, from: number): string[][] {
  return possible.flatMap((options, at) =>
    at < from
      ? []
      : options
          .filter((option) => option !== choices[at])
          .map((option) => [...choices.slice(0, at), option]),
  );
}
