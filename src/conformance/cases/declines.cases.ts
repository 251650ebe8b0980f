import type { Api } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft, STRIPE } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import {
  expect,
  expectRefused,
  expectSameBytes,
  expectSameStatus,
  isSuccess,
} from '../check/expect.js';
import { NOT_MADE, PAYS_TWICE } from './costs.js';

export const DECLINE_CASES = cases('errors', {
  'declined-once': {
    level: 'must',
    source: draft('2.6'),
    title: 'A decline, sent three times, makes one object at most and stays a decline',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = declined(api);
      for (let i = 0; i < 3; i += 1)
        expectRefused(await api.send(purchase), 'what is to be declined');
      await api.expectMade([purchase, { min: 0, max: 1 }]);
    },
  },
  'declined-replayed': {
    level: 'choice',
    source: STRIPE,
    title: 'A decline is replayed, if that is promised',
    costs: 'The customer is asked by the bank again, or sees another reason.',
    async run(api) {
      const purchase = declined(api);
      if (!api.profile.promises.storesDeclines) throw new Skipped('declines are not stored');
      const first = await api.send(purchase);
      const replay = await api.send(purchase);
      expectSameStatus(first, replay);
      expectSameBytes(first, replay);
    },
  },
  'declined-key': {
    level: 'choice',
    source: STRIPE,
    title: 'After a decline the key is used up, or free for another card, as promised',
    costs: 'The customer takes another card, and the purchase is never made.',
    async run(api) {
      const purchase = declined(api);
      await api.send(purchase);
      const answer = await api.send(purchase, { body: undeclined(api, purchase) });
      const stores = api.profile.promises.storesDeclines;
      expect(isSuccess(answer) !== stores, `another card is answered ${answer.status}`);
    },
  },
  'declined-new-key': {
    level: 'should',
    source: STRIPE,
    title: 'After a decline another card under a new key succeeds',
    costs: NOT_MADE,
    async run(api) {
      const purchase = declined(api);
      await api.send(purchase);
      await api.make(purchase, { key: api.key(), body: undeclined(api, purchase) });
    },
  },
});

function declined(api: Api): Purchase {
  const patch = api.needs(api.profile.create.declined, 'create.declined');
  return api.purchase(api.account, patch);
}

/** The ordinary body with that purchase's reference. */
function undeclined(api: Api, { reference }: Purchase) {
  const { body, reference: other } = api.purchase();
  return JSON.parse(JSON.stringify(body).replaceAll(other, reference)) as typeof body;
}
