import type { Actor } from './actors.js';
import type { Step } from './gate.js';
import type { Observation } from './observation.js';
import type { Purchase } from './purchase.js';
import type { Scenario } from './scenario.js';

/** One schedule, as it ran. */
export interface Run {
  scenario: Scenario;
  /** In order: an actor's number, `x` and the number of an actor that crashes, or an event. */
  choices: string[];
  /** All possible choices at each choice. */
  possible: string[][];
  steps: Step[];
  /** The first is from before the first step, the others from after each step. */
  observations: Observation[];
  actors: Actor[];
  purchase: Purchase;
  /**
   * Another schedule has the same effects: an actor without locks waits for a lock, and another actor made a step that
   * did not end the wait. The wait could as well have begun after that step.
   */
  redundant: boolean;
  /** Actors that wait for each other's locks, or for something that never happens. */
  stuck: string[];
}
