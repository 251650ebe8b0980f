import type { Exchange } from '../program/client.js';
import { Lane } from '../program/lane.js';
import type { Stage } from '../program/stage.js';
import type { Verdict } from '../run.js';
import type { Play } from './scenario.js';

const CUPS = { currency: 'usd', items: [{ sku: 'cup', quantity: 1, unit_amount: 1999 }] };

/** How many requests of each lane got which answer. */
async function verdictOf(
  stage: Stage,
  answers: { naive: Exchange[]; keyed: Exchange[] },
): Promise<Verdict> {
  const counted = (results: Exchange[]) => {
    const counts: Record<string, number> = {};
    for (const result of results) {
      const answer = Lane.answerOf(result);
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
    return counts;
  };
  const verdict = await stage.verdict();
  return { ...verdict, answers: { naive: counted(answers.naive), keyed: counted(answers.keyed) } };
}

export const race: Play = {
  id: 'race',
  title: 'Double click',
  story: 'An impatient customer, a proxy and a queue send the same purchase at the same moment.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'All requests insert the same record, and its primary key lets one of them in.',
    'The others wait for its answer without holding a connection, and get the same bytes; another amount gets 422.',
    'Other keys are other purchases: there the order decides, which has at most one live charge.',
  ],
  parameters: [
    { name: 'clicks', label: 'Requests at once', min: 2, max: 50, initial: 2 },
    {
      name: 'with',
      label: 'They have',
      options: ['one key', 'one key, other amounts', 'other keys, one order'],
      initial: 'one key',
    },
  ],
  goals: ['double-charge', 'replay', 'mismatch-422'],
  tracks: ['keyed', 'naive'],
  async play(stage) {
    const kind = stage.text('with');
    const story = async (lane: Lane) => {
      const one = lane.newKey();
      if (kind === 'other keys, one order') await lane.put('/orders/cups-1', CUPS);
      const click = (index: number) => {
        if (kind === 'one key') return lane.buy(one);
        if (kind === 'one key, other amounts') return lane.buy(one, {}, { amount: 1999 + index });
        const ofTheOrder = { order: 'cups-1', amount: undefined, currency: undefined };
        return lane.buy(lane.newKey(), {}, ofTheOrder);
      };
      return Promise.all(
        Array.from({ length: stage.number('clicks') }, (_, index) => click(index)),
      );
    };
    const [naive, keyed] = await Promise.all([story(stage.naive), story(stage.keyed)]);
    await stage.keyed.settled();
    return verdictOf(stage, { naive, keyed });
  },
};

export const twoTabs: Play = {
  id: 'two-tabs',
  title: 'Order paid once',
  story: 'The customer pays one order from two tabs. Each tab has a key of its own.',
  question: 'How often has the customer paid?',
  answer: '1',
  explanation: [
    'Two keys are two purchases, so the keys cannot help here.',
    'Both name the same order, and an order has at most one pending or succeeded charge, by a unique index.',
    'The second tab gets a 409 that names the first one’s charge.',
  ],
  parameters: [],
  goals: ['two-tabs', 'conflict-409', 'double-charge'],
  tracks: ['keyed', 'naive'],
  async play(stage) {
    const story = async (lane: Lane) => {
      await lane.put('/orders/cups-1', CUPS);
      const tab = () =>
        lane.buy(lane.newKey(), {}, { order: 'cups-1', amount: undefined, currency: undefined });
      return Promise.all([tab(), tab()]);
    };
    const [naive, keyed] = await Promise.all([story(stage.naive), story(stage.keyed)]);
    await stage.keyed.settled();
    return verdictOf(stage, { naive, keyed });
  },
};

export const inFlight: Play = {
  id: 'duplicate-in-flight',
  title: 'A duplicate while the first one runs',
  story: 'The processor takes 3 s. Meanwhile a duplicate arrives that does not want to wait.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'The duplicate found a record in progress under a lease that was still good, so it did not call the processor.',
    'It had said `Prefer: wait=0`; otherwise it would have waited for the answer, up to 5 s, holding no connection.',
    'The 409 says `same_key` and when to come back, and the retry got the stored answer.',
  ],
  parameters: [],
  goals: ['conflict-409', 'replay'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    const slow = { payment_method: 'pm_lab_slow' };
    const first = keyed.buy(key, {}, slow);
    await stage.pause(1_000);
    await keyed.buy(key, { headers: { Prefer: 'wait=0' } }, slow);
    await first;
    await keyed.buyUntilKnown(key, {}, slow);
    return stage.verdict();
  },
};
