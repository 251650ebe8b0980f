import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft, rfc, STRIPE } from '../check/case.js';
import type { Sending } from '../check/exchange.js';
import {
  expect,
  expectRefused,
  expectReplay,
  expectSameBytes,
  isSuccess,
} from '../check/expect.js';
import { asNoAnswer, NoAnswer } from '../wire/answer.js';
import { NOT_MADE, PAYS_TWICE, WRONG_ANSWER } from './costs.js';

/** How long a server may still act on a request that broke off. */
const AFTER_HALF_MS = 150;

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
      await recovered(api, purchase);
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
      await recovered(api, purchase);
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
      await recovered(api, purchase);
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
  'half-body': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Half a body makes nothing; the whole request after it makes one object',
    costs: NOT_MADE,
    run: (api) => half(api, 'half of the body', (sending) => sending.sendHalfOfBody()),
  },
  'half-head': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Half a head makes nothing; the whole request after it makes one object',
    costs: NOT_MADE,
    run: (api) => half(api, 'half of the head', (sending) => sending.sendHalfOfHead()),
  },
  'all-but-one-byte': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'A body without its last byte makes nothing; the whole request makes one object',
    costs: NOT_MADE,
    run: (api) => half(api, 'all but the last byte', (sending) => sending.sendAllBut(1)),
  },
  'unended-chunks': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Chunks without an end make nothing; the whole request makes one object',
    costs: NOT_MADE,
    run: (api) =>
      half(api, 'without the last chunk', (sending) => sending.sendAllBut('0\r\n\r\n'.length), {
        chunked: true,
      }),
  },
  'half-body-open': {
    level: 'must',
    source: rfc(9112, '8'),
    title: 'Half a request on an open connection does not hold its key',
    costs: NOT_MADE,
    async run(api) {
      const purchase = api.purchase();
      const stalled = await api.open(purchase, { note: 'stalled after half of the body' });
      await stalled.sendHalfOfBody();
      try {
        const first = await api.settle(purchase);
        expect(isSuccess(first), `the whole request is answered ${first.status}`);
        await stalled.sendAll();
        const outcome = await stalled.answer().catch(asNoAnswer);
        if (isSuccess(outcome)) expectReplay(api, first, outcome);
        await api.expectMade([purchase, 1]);
      } finally {
        stalled.close();
      }
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
      await recovered(api, purchase);
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
      await recovered(api, purchase);
    },
  };
}

/** Sends the whole request, and loses the answer. */
async function lose(api: Api, purchase: Purchase, note: string, loss: Loss): Promise<void> {
  const sending = await api.open(purchase, { note });
  try {
    await sending.sendAll();
    await loss(sending);
  } finally {
    sending.close();
  }
}

/** The retry succeeds, and there is one object. */
async function recovered(api: Api, purchase: Purchase): Promise<void> {
  const answer = await api.settle(purchase);
  expect(isSuccess(answer), `the retry is answered ${answer.status}`);
  await api.expectMade([purchase, 1]);
}

/** A part of the request, then nothing more; then the whole request. */
async function half(
  api: Api,
  note: string,
  send: (sending: Sending) => Promise<void>,
  changes = {},
): Promise<void> {
  const purchase = api.purchase();
  const sending = await api.open(purchase, { ...changes, note });
  await send(sending);
  sending.close();
  await delay(AFTER_HALF_MS);
  await api.expectMade([purchase, 0]);
  await recovered(api, purchase);
}

async function lostByServer(api: Api, times: number): Promise<void> {
  const headers = api.needs(api.profile.create.loseAnswer, 'create.loseAnswer');
  const purchase = api.purchase();
  for (let i = 0; i < times; i += 1) {
    const outcome = await api.send(purchase, { headers }).catch((error: unknown) => error);
    expect(outcome instanceof NoAnswer, 'the answer is not lost: create.loseAnswer has no effect');
  }
  await recovered(api, purchase);
}
