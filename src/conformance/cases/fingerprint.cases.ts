import type { Api, Changes } from '../check/api.js';
import { cases, draft, rfc } from '../check/case.js';
import { expectMismatch, expectNoFalseSuccess, expectReplay } from '../check/expect.js';
import type { Body, CreateOperation } from '../profile/profile.js';
import { PAYS_TWICE, TWO_IN_ONE } from './costs.js';

export const FINGERPRINT_CASES = cases('fingerprint', {
  value: otherBody('value', 'Another amount'),
  text: otherBody('text', 'Another text'),
  added: otherBody('added', 'A further member'),
  removed: otherBody('removed', 'A missing member'),
  nested: otherBody('nested', 'A difference inside an object'),
  order: otherBody('order', 'Another order of an array'),
  type: {
    level: 'should',
    source: rfc(8259, '3'),
    title: 'A number sent as a text under a used key is not answered as a success',
    costs: TWO_IN_ONE,
    async run(api) {
      api.needsJson();
      const purchase = api.purchase();
      const number = Object.entries(purchase.body).find(([, value]) => typeof value === 'number');
      const [name, value] = api.needs(number, 'number in the body');
      await refused(api, { body: { ...purchase.body, [name]: String(value) } }, purchase);
    },
  },
  empty: {
    level: 'must',
    source: draft('2.4'),
    title: 'An empty body under a used key makes nothing and is not answered as a success',
    costs: TWO_IN_ONE,
    run: (api) => refused(api, { body: '' }),
  },
  status: {
    level: 'choice',
    source: draft('2.7'),
    title: 'Another body under a used key is answered as promised',
    costs: 'Clients cannot distinguish a programming error from a retry.',
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const body = api.changed(purchase, api.profile.create.changes.value);
      expectMismatch(api, first, await api.send(purchase, { body }));
    },
  },
  'first-survives': {
    level: 'must',
    source: draft('2.7'),
    title: 'After a refused other body the first request is still replayed',
    costs: 'One wrong request destroys the protection of the right one.',
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const body = api.changed(purchase, api.profile.create.changes.value);
      for (let i = 0; i < 3; i += 1) await api.send(purchase, { body });
      const replay = await api.send(purchase);
      await api.expectMade([purchase, 1]);
      expectReplay(api, first, replay);
    },
  },
  'new-key': {
    level: 'must',
    source: draft('2.2'),
    title: 'The same body under a new key is another purchase',
    costs: 'A customer who buys the same thing again does not get it.',
    async run(api) {
      const purchase = api.purchase();
      await api.make(purchase);
      await api.make(purchase, { key: api.key() });
      await api.expectMade([purchase, 2]);
    },
  },
  query: {
    level: 'must',
    source: draft('2.4'),
    title: 'Another query under a used key makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      await api.make(purchase);
      const { path } = api.profile.create;
      const query = `${path.includes('?') ? '&' : '?'}conformance=1`;
      await api.send(purchase, { path: path + query });
      await api.expectMade([purchase, 1]);
    },
  },
  method: {
    level: 'must',
    source: draft('2.4'),
    title: 'Another method under a used key makes nothing and is not answered as a success',
    costs: 'The client believes that another operation was done.',
    async run(api) {
      const method = api.profile.create.method === 'PUT' ? 'POST' : 'PUT';
      await refused(api, { method });
    },
  },
});

function otherBody(change: keyof CreateOperation['changes'], what: string) {
  return {
    level: 'must' as const,
    source: draft('2.4'),
    title: `${what} under a used key makes nothing and is not answered as a success`,
    costs: TWO_IN_ONE,
    async run(api: Api): Promise<void> {
      const patch: Body = api.needs(api.profile.create.changes[change], `create.changes.${change}`);
      const purchase = api.purchase();
      await refused(api, { body: api.changed(purchase, patch) }, purchase);
    },
  };
}

async function refused(api: Api, changes: Changes, purchase = api.purchase()): Promise<void> {
  await api.make(purchase);
  const answer = await api.send(purchase, changes);
  await api.expectMade([purchase, 1]);
  expectNoFalseSuccess(api, answer);
}
