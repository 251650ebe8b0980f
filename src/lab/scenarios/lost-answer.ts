import type { Lane } from '../program/lane.js';
import type { Play } from './scenario.js';

/** The first thing that the page shows. Both lanes play the same story. */
export const lostAnswer: Play = {
  id: 'lost-answer',
  title: 'The lost answer',
  story: 'The customer pays, everything is committed, and the answer is lost on its way back. The client retries.',
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
      await lane.buy(key, { fault: 'lose-response' }, { receipt_email: 'customer@example.com' });
      await stage.pause(300);
      await lane.buy(key, {}, { receipt_email: 'customer@example.com' });
    };
    await Promise.all([story(stage.naive), story(stage.keyed)]);
    await stage.keyed.settled();
    return stage.verdict();
  },
};
