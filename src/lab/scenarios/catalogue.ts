import type { Goal, Scenario } from '../run.js';
import { anotherBody, custom, newKeys, sevenDays } from './keys.js';
import { hangUp, lostAnswer, lostRequest } from './network.js';
import { freeze, kill, worker } from './processes.js';
import { declined, processor, webhook } from './processor.js';
import { inFlight, race, twoTabs } from './races.js';
import type { Play } from './scenario.js';

/** Every scenario, in the order in which the page, the terminal and the tests show them. */
export const PLAYS: readonly Play[] = [
  ...[lostAnswer, lostRequest, hangUp],
  ...[race, inFlight, twoTabs],
  ...[kill, freeze, worker],
  ...[processor, webhook, declined],
  ...[anotherBody, newKeys, sevenDays],
  custom,
];

export const GOALS: readonly Goal[] = [
  { id: 'double-charge', title: 'Cause a double charge', hint: 'Retry without a key.' },
  { id: 'replay', title: 'Get a replay', hint: 'Send the same request again with its key.' },
  {
    id: 'conflict-409',
    title: 'Get a 409',
    hint: 'Send a duplicate while the first one still runs.',
  },
  { id: 'mismatch-422', title: 'Get a 422', hint: 'Use a key for another amount.' },
  {
    id: 'survive-kill',
    title: 'Survive a kill',
    hint: 'Kill the API in the middle of a charge, and retry.',
  },
  {
    id: 'uncatchable',
    title: 'Find the one mistake that no server can catch',
    hint: 'What names a purchase?',
  },
  { id: 'two-tabs', title: 'Pay one order from two tabs', hint: 'Two keys, one order.' },
];

export function findPlay(id: unknown): Play | undefined {
  return PLAYS.find((play) => play.id === id);
}

/** What is sent to the page: data only. */
export function scenarioOf(play: Play): Scenario {
  const { id, title, story, question, answer, explanation, parameters, goals } = play;
  return { id, title, story, question, answer, explanation, parameters, goals };
}
