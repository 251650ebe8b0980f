import { Lane } from '../program/lane.js';
import type { Play } from './scenario.js';

/** What the sandbox does to the first request under a key that it has not seen. */
const MISBEHAVIOURS: Record<string, string> = {
  'slow (3 s)': 'pm_lab_slow',
  silent: 'pm_lab_timeout',
  'refusing once': 'pm_lab_unavailable_once',
  'losing its answer': 'pm_lab_response_lost',
  'charging and saying 500': 'pm_lab_error_after_charge',
};

export const processor: Play = {
  id: 'processor',
  title: 'A processor in trouble',
  story:
    'The processor is slow, silent, refuses, loses its answer, or charges and says 500. The client retries.',
  question: 'How often has the customer paid, with the key?',
  answer: '1',
  explanation: [
    'A timeout or a 500 is no failure: the money may have been taken, and the API answers 504 or waits for certainty.',
    'Every repeat sends the same id, so the processor finds its own first answer instead of taking money again.',
    'Without a key each retry is another payment to the processor; nothing connects it with the first one.',
  ],
  parameters: [
    {
      name: 'processor',
      label: 'The processor is',
      options: Object.keys(MISBEHAVIOURS),
      initial: 'silent',
    },
  ],
  goals: ['double-charge'],
  tracks: ['keyed', 'naive'],
  async play(stage) {
    const purchase = { payment_method: MISBEHAVIOURS[stage.text('processor')] };
    const story = (lane: Lane) =>
      lane.buyUntilKnown(lane.newKey(), {}, purchase, lane.track === 'naive' ? 2 : 12);
    await Promise.all([story(stage.naive), story(stage.keyed)]);
    await stage.keyed.settled(60_000);
    return stage.verdict();
  },
};

export const declined: Play = {
  id: 'declined',
  title: 'Decline',
  story:
    'The card is declined. The customer tries again, first with the old key, then with a new one.',
  question: 'How often has the customer paid in the end?',
  answer: '1',
  explanation: [
    'A decline is an outcome and is stored: the same request with the same key gets the same 402.',
    'Another card under the old key is another request, and 422: the key already names an attempt that has ended.',
    'The 402 said `retry: new_key`, which is safe here and only here: this attempt took nothing and never will.',
  ],
  parameters: [],
  goals: ['replay', 'mismatch-422'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    const declinedCard = { payment_method: 'pm_card_visa_chargeDeclinedInsufficientFunds' };
    await keyed.buy(key, {}, declinedCard);
    await keyed.buy(key, {}, declinedCard);
    await keyed.buy(key);
    await keyed.buy(keyed.newKey());
    return stage.verdict();
  },
};

export const webhook: Play = {
  id: 'webhook',
  title: 'The notification comes twice, or first',
  story:
    'The processor’s notification arrives several times; after a crash, or before its own answer.',
  question: 'How often has the customer paid?',
  answer: '1',
  explanation: [
    'Each notification has an id, and is applied in the transaction that writes this id down: once.',
    'After a crash it settles the charge before any retry does; before the answer it settles it under the attempt’s feet.',
    'It increments the epoch, so the attempt that comes second writes nothing and sends the stored answer.',
  ],
  parameters: [
    {
      name: 'when',
      label: 'It comes',
      options: ['after a crash', 'before the answer'],
      initial: 'after a crash',
    },
    { name: 'copies', label: 'Copies', min: 2, max: 10, initial: 2 },
  ],
  goals: ['replay'],
  tracks: ['keyed'],
  async play(stage) {
    const { keyed } = stage;
    const key = keyed.newKey();
    if (stage.text('when') === 'after a crash') {
      await keyed.buy(key, { fault: 'crash-after-processor' });
      await keyed.notify(stage.number('copies'));
      await keyed.buyUntilKnown(key);
    } else {
      const slow = { payment_method: 'pm_lab_slow' };
      const first = keyed.buy(key, {}, slow);
      await keyed.notify(stage.number('copies'));
      await first;
      await keyed.buyUntilKnown(key, {}, slow);
    }
    await keyed.settled(60_000);
    return stage.verdict();
  },
};
