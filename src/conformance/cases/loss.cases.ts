import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft, STRIPE } from '../check/case.js';
import type { Sending } from '../check/exchange.js';
import { expect, expectRefused, expectSameBytes } from '../check/expect.js';
import { NoAnswer } from '../wire/answer.js';
import { PAYS_TWICE, WRONG_ANSWER } from './costs.js';
import { AFTER_HALF_MS } from './half-requests.cases.js';

export const LOSS_CASES = cases('loss', {
  'hang-up': lostOnce('The client closes before the answer', 'closed before the answer', close),
  reset: lostOnce('The client resets the connection before the answer', 'reset', reset),
  'in-answer': lostOnce('The client closes inside the answer', 'closed in the answer', inAnswer),
  'after-answer': lostOnce(
    'The client resets after the answer has begun',
    'reset in the answer',
    resetInAnswer,
  ),
  'half-close': lostOnce('The client stops sending, then leaves', 'half-closed', halfClose),
  twice: {
    level: 'must',
    source: draft('1'),
    title: 'Two lost answers and a retry make one object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      await lose(api, purchase, 'closed before the answer', close);
      await lose(api, purchase, 'reset', reset);
      await api.expectRecovered(purchase);
    },
  },
  many: {
    level: 'must',
    source: draft('1'),
    title: 'Ten at once that all hang up, and a retry, make one object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const count = Math.min(10, api.racers - 1);
      const lost = Array.from({ length: count }, () =>
        lose(api, purchase, 'closed before the answer', close),
      );
      await Promise.all(lost);
      await api.expectRecovered(purchase);
    },
  },
  later: {
    level: 'must',
    source: draft('2.3'),
    title: 'A retry some seconds after the lost answer makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      await lose(api, purchase, 'closed before the answer', close);
      await delay(api.profile.timing.laterSeconds * 1000);
      await api.expectRecovered(purchase);
    },
  },
  'same-answer': {
    level: 'should',
    source: STRIPE,
    title: 'All retries after a lost answer get the same bytes',
    costs: WRONG_ANSWER,
    async run(api) {
      const purchase = api.purchase();
      await lose(api, purchase, 'closed before the answer', close);
      const first = await api.settle(purchase);
      expectSameBytes(first, await api.send(purchase));
    },
  },
  'other-body': {
    level: 'must',
    source: draft('2.7'),
    title: 'A changed body after a lost answer makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      await lose(api, purchase, 'closed before the answer', close);
      await delay(AFTER_HALF_MS);
      await api.settle(purchase, {
        body: api.changed(purchase, api.profile.create.changes.value),
      });
      await api.settle(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
  slow: {
    level: 'must',
    source: draft('1'),
    title: 'A slow request whose client hangs up is finished, or done by the retry, once',
    costs: PAYS_TWICE,
    async run(api) {
      const patch = api.needs(api.profile.create.slow, 'create.slow');
      const purchase = api.purchase(api.account, patch);
      await lose(api, purchase, 'closed while it runs', async (sending) => {
        await delay(2 * AFTER_HALF_MS);
        sending.close();
      });
      await api.expectRecovered(purchase);
    },
  },
  declined: {
    level: 'must',
    source: STRIPE,
    title: 'A decline whose answer is lost stays a decline',
    costs: PAYS_TWICE,
    async run(api) {
      const patch = api.needs(api.profile.create.declined, 'create.declined');
      const purchase = api.purchase(api.account, patch);
      await lose(api, purchase, 'closed before the answer', close);
      expectRefused(await api.settle(purchase), 'the retry');
      await api.expectMade([purchase, { min: 0, max: 1 }]);
    },
  },
  'lost-by-server': {
    level: 'must',
    source: draft('1'),
    title: 'An answer that the server loses after its work, and a retry, make one object',
    costs: PAYS_TWICE,
    run: (api) => lostByServer(api, 1),
  },
  'lost-by-server-thrice': {
    level: 'must',
    source: draft('1'),
    title: 'Three answers that the server loses, and a retry, make one object',
    costs: PAYS_TWICE,
    run: (api) => lostByServer(api, 3),
  },
});

type Loss = (sending: Sending) => Promise<void> | void;

function close(sending: Sending): void {
  sending.close();
}

function reset(sending: Sending): void {
  sending.reset();
}

async function inAnswer(sending: Sending): Promise<void> {
  await sending.firstByte();
  sending.close();
}

async function resetInAnswer(sending: Sending): Promise<void> {
  await sending.firstByte();
  sending.reset();
}

async function halfClose(sending: Sending): Promise<void> {
  sending.stopSending();
  await delay(AFTER_HALF_MS);
  sending.close();
}

function lostOnce(what: string, note: string, loss: Loss) {
  return {
    level: 'must' as const,
    source: draft('1'),
    title: `${what}; the retry makes no second object`,
    costs: PAYS_TWICE,
    async run(api: Api): Promise<void> {
      const purchase = api.purchase();
      await lose(api, purchase, note, loss);
      await api.expectRecovered(purchase);
    },
  };
}

/** Sends the whole request and discards the answer. */
async function lose(api: Api, purchase: Purchase, note: string, loss: Loss): Promise<void> {
  const sending = await api.open(purchase, { note });
  try {
    await sending.sendAll();
    await loss(sending);
  } finally {
    sending.close();
  }
}

async function lostByServer(api: Api, times: number): Promise<void> {
  const headers = api.needs(api.profile.create.loseAnswer, 'create.loseAnswer');
  const purchase = api.purchase();
  for (let i = 0; i < times; i += 1) {
    const outcome = await api.send(purchase, { headers }).catch((error: unknown) => error);
    expect(outcome instanceof NoAnswer, 'the answer is not lost: create.loseAnswer has no effect');
  }
  await api.expectRecovered(purchase);
}
