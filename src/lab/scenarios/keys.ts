import { Lane } from '../program/lane.js';
import { buyAndLoseTheAnswer } from './lose-answer.js';
import type { Play } from './scenario.js';

export const anotherBody: Play = {
  id: 'another-body',
  title: 'Key reused',
  story: 'The client uses the key of a purchase for another amount.',
  question: 'How often has the customer paid?',
  answer: '1',
  explanation: [
    'The record keeps a fingerprint of what the request meant: the canonical JSON, not its bytes.',
    'The second request means something else, so it gets 422 with the names of the members that differ, never their values.',
    'To replay the first answer would say that 29.99 was paid; to charge again would make one name mean two purchases.',
  ],
  parameters: [],
  goals: ['mismatch-422', 'replay'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    await keyed.buy(key);
    await keyed.buy(key, {}, { amount: 2999 });
    await keyed.buy(key);
    return stage.verdict();
  },
};

export const newKeys: Play = {
  id: 'new-key-each-retry',
  title: 'A new key for each retry',
  story: 'The answer is lost, and the client retries with a new key.',
  question: 'How often has the customer paid?',
  answer: '2',
  explanation: [
    'A new key says "this is another purchase", and no server can know better: both ledgers agree.',
    'The key belongs to the purchase, not to the attempt: the client makes it once, keeps it, and repeats it.',
    'If both requests had named the order, the second one would have been refused with a 409.',
  ],
  parameters: [],
  goals: ['double-charge', 'uncatchable'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    await buyAndLoseTheAnswer(keyed, keyed.newKey());
    await stage.pause(300);
    await keyed.buy(keyed.newKey());
    return stage.verdict(2, 'No server can see this mistake.');
  },
};

export const sevenDays: Play = {
  id: 'seven-days',
  title: 'Late retry',
  story:
    'The answer is kept for 7 days. The client retries one second before they are over, and just after.',
  question: 'How often has the customer paid?',
  answer: '1',
  explanation: [
    'Before the end of the 7 days the retry got the stored answer, as at any time.',
    'After it the answer is gone: 409 `idempotency_key_expired`, with the charge that the key had made.',
    'The charge’s primary key is derived from the key and never expires, so money is not taken again.',
  ],
  parameters: [],
  goals: ['replay'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    await keyed.buy(key);
    await retryOneSecondBefore(keyed, key);
    await keyed.letExpireIn(0);
    await keyed.buy(key);
    return stage.verdict();
  },
};

/** On a busy machine the request may arrive more than a second later. Then this moves the expiry again. */
async function retryOneSecondBefore(lane: Lane, key: string): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    await lane.letExpireIn(1);
    if (Lane.answerOf(await lane.buy(key)).endsWith('replayed')) return;
  }
}

/** "Break it where you point": the faults come from the page, one for each attempt. */
export const custom: Play = {
  id: 'custom',
  title: 'Break it where you point',
  story:
    'You choose what breaks, attempt by attempt. The client repeats the same request until it knows.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'Each attempt was the same request under the same key.',
    'What the client did not know, the rows did: from each of them any process can go on.',
    'The processor’s ledger is the judge, and it belongs to another process.',
  ],
  parameters: [
    {
      name: 'payment_method',
      label: 'Payment method',
      options: [
        'pm_card_visa',
        'pm_card_visa_chargeDeclined',
        'pm_lab_slow',
        'pm_lab_timeout',
        'pm_lab_unavailable_once',
        'pm_lab_response_lost',
        'pm_lab_error_after_charge',
      ],
      initial: 'pm_card_visa',
    },
  ],
  goals: ['survive-kill', 'replay'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    const method = stage.text('payment_method');
    const purchase = { payment_method: method };
    for (const fault of stage.faults) {
      if (fault === 'send-twice')
        await Promise.all([keyed.buy(key, {}, purchase), keyed.buy(key, {}, purchase)]);
      else await keyed.buy(key, fault ? { fault } : {}, purchase);
      await stage.pause(200);
    }
    await keyed.buyUntilKnown(key, {}, purchase);
    await keyed.settled(60_000);
    return stage.verdict(method === 'pm_card_visa_chargeDeclined' ? 0 : 1);
  },
};
