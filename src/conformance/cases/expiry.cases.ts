import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft } from '../check/case.js';
import { expect, expectReplay, isSuccess } from '../check/expect.js';
import type { Answer } from '../wire/answer.js';
import { PAYS_TWICE } from './costs.js';

/** A key may live a little longer than promised: the clock of the check is not the server's. */
const MARGIN_SECONDS = 1;

export const EXPIRY_CASES = cases('expiry', {
  kept: {
    level: 'must',
    source: draft('2.3'),
    title: 'A key lives as long as promised',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      await wait(0.6 * lifeOf(api));
      const replay = await api.send(purchase);
      await api.expectMade([purchase, 1]);
      expectReplay(api, first, replay);
    },
  },
  expired: {
    level: 'choice',
    source: draft('2.3'),
    title: 'After its life a key is new, or refused, as promised',
    costs: 'A client that retries late pays twice, or is refused forever.',
    async run(api) {
      const purchase = api.purchase();
      await api.make(purchase);
      await wait(lifeOf(api) + MARGIN_SECONDS);
      await expectExpired(api, purchase, await api.send(purchase));
    },
  },
  'not-extended': {
    level: 'choice',
    source: draft('2.3'),
    title: 'A replay does not extend the life of a key',
    costs: 'A client that polls with its key keeps the key alive forever.',
    async run(api) {
      const purchase = api.purchase();
      await api.make(purchase);
      const life = lifeOf(api);
      await wait(0.8 * life); // an extended key would live until 1.8 times its life
      await api.send(purchase);
      await wait(0.2 * life + MARGIN_SECONDS);
      await expectExpired(api, purchase, await api.send(purchase));
    },
  },
});

function lifeOf(api: Api): number {
  return api.needs(api.profile.promises.expirySeconds, 'expirySeconds');
}

async function wait(seconds: number): Promise<void> {
  await delay(seconds * 1000);
}

async function expectExpired(api: Api, purchase: Purchase, answer: Answer): Promise<void> {
  const isNew = api.profile.promises.onExpired === 'new';
  expect(isSuccess(answer) === isNew, `the expired key is answered ${answer.status}`);
  await api.expectMade([purchase, isNew ? 2 : 1]);
}
