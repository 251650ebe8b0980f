import { setTimeout as delay } from 'node:timers/promises';
import { Diverged, runSchedule, type Run } from './controller.js';
import type { Lane } from './lane.js';
import type { Scenario } from './scenario.js';

/** How often a schedule that diverged is run again. */
const MAX_TRIES = 5;

/**
 * Runs every schedule of a scenario once, by depth-first search with replay. Each run repeats a prefix of choices, and
 * then takes the first possible actor until all have ended. Each choice that it did not take after its prefix starts
 * another run. No state is saved: a run always starts at the beginning.
 * @param onRun called after each run. @returns how many schedules there are.
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
      count += 1;
      onRun(run);
    }
  };
  await Promise.all(lanes.map(work));
  return count;
}

/** Two sessions that one commit wakes up may go on in any order. Then the same choices need another try. */
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
