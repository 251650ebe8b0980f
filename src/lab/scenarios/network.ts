import type { Lane } from '../program/lane.js';
import { buyAndLoseTheAnswer } from './lose-answer.js';
import type { Play } from './scenario.js';

const RECEIPT = { receipt_email: 'customer@example.com' };

/** The first thing that the page shows. Both lanes play the same story. */
export const lostAnswer: Play = {
  id: 'lost-answer',
  title: 'The lost answer',
  story:
    'The customer pays, everything is committed, and the answer is lost on its way back. The client retries.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'The answer was lost after the commit, so the client cannot tell it from a request that never arrived.',
    'Without a key the retry is a new purchase: the processor takes the money again, and both ledgers agree about it.',
    'With the key the retry names the same purchase: the stored answer comes back, and the processor is not called.',
  ],
  parameters: [],
  goals: ['double-charge', 'replay'],
  tracks: ['keyed', 'naive'],
  async play(stage) {
    const story = async (lane: Lane) => {
      const key = lane.newKey();
      await buyAndLoseTheAnswer(lane, key, RECEIPT);
      await stage.pause(300);
      await lane.buyUntilKnown(key, {}, RECEIPT);
    };
    await Promise.all([story(stage.naive), story(stage.keyed)]);
    await stage.keyed.settled();
    return stage.verdict();
  },
};

export const lostRequest: Play = {
  id: 'lost-request',
  title: 'The lost request',
  story: 'The request is lost on its way to the API, and nothing runs. The client retries.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'Nothing had run when the connection broke, so the retry was the first request.',
    'The client saw the same as with a lost answer: a broken connection, and no way to tell which of the two it was.',
    'So the retry must be right in both cases, and only a key makes it so; here the lane without one was lucky.',
  ],
  parameters: [],
  goals: [],
  tracks: ['keyed', 'naive'],
  async play(stage) {
    const story = async (lane: Lane) => {
      const key = lane.newKey();
      await lane.buy(key, { fault: 'lose-request' });
      await stage.pause(300);
      await lane.buy(key);
    };
    await Promise.all([story(stage.naive), story(stage.keyed)]);
    return stage.verdict();
  },
};

export const hangUp: Play = {
  id: 'hang-up',
  title: 'The client hangs up',
  story: 'The client closes the connection as soon as the request is out. Later it retries.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'The API does not stop when its client leaves: what it began it finishes, and stores the answer.',
    'Without a key the retry charges again, because the first request had gone on as well.',
    'With the key the retry waits for the first one if it still runs, and gets its answer.',
  ],
  parameters: [],
  goals: ['double-charge', 'replay'],
  tracks: ['keyed', 'naive'],
  async play(stage) {
    const story = async (lane: Lane) => {
      const key = lane.newKey();
      await lane.buy(key, { break: { hangUp: 'after-request' } });
      await stage.pause(500);
      await lane.buyUntilKnown(key);
      await lane.until(
        async () => (await lane.paid()).length >= (lane.track === 'naive' ? 2 : 1),
        5_000,
      );
    };
    await Promise.all([story(stage.naive), story(stage.keyed)]);
    return stage.verdict();
  },
};
