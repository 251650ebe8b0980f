import type { Actor } from './actors.js';
import type { Step } from './gate.js';
import type { Observation } from './observation.js';
import type { Purchase } from './purchase.js';
import type { Scenario } from './scenario.js';

/** One schedule, as it ran. */
export interface Run {
  scenario: Scenario;
  /** In order: an actor's number, `x` and the number of the one that crashes, or an event. */
  choices: string[];
  /** At each choice, all that were possible. */
  possible: string[][];
  steps: Step[];
  /** Before the first step and after each. */
  observations: Observation[];
  actors: Actor[];
  purchase: Purchase;
  /**
   * Another schedule has the same effects: an actor without locks waits for one, and another actor made a step that did
   * not end the wait. It could as well have come after that step.
   */
  redundant: boolean;
  /** Actors that wait for each other's locks, or for something that never happens. */
  stuck: string[];
}
