import type { Api } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import { expect, expectRefused, expectReplay, isSuccess } from '../check/expect.js';
import { withReference } from '../profile/body.js';
import { NOT_MADE, PAYS_TWICE, TWO_IN_ONE, WRONG_ANSWER } from './costs.js';

export const SCOPE_CASES = cases('scope', {
  'account-own-object': {
    level: 'must',
    source: draft('5'),
    title: 'The same key and body from another account make an object of its own',
    costs: NOT_MADE,
    async run(api) {
      const [one, two] = twins(api);
      const first = await api.make(one);
      const second = await api.make(two);
      expect(api.idIn(first) !== api.idIn(second), "the answer shows the other account's object");
      await api.expectMade([one, 1], [two, 1]);
    },
  },
  'account-other-body': {
    level: 'must',
    source: draft('5'),
    title: 'Another body under a key of another account is no mismatch',
    costs: 'A customer is refused because of another customer, and learns that a key exists.',
    async run(api) {
      const one = api.purchase();
      const two = { ...api.purchase(api.secondAccount), key: one.key };
      await api.make(one);
      await api.make(two);
      await api.expectMade([one, 1], [two, 1]);
    },
  },
  'account-first-survives': {
    level: 'must',
    source: draft('5'),
    title: 'A key stays with its account when another account uses it',
    costs: PAYS_TWICE,
    async run(api) {
      const [one, two] = twins(api);
      const first = await api.make(one);
      await api.send(two);
      const replay = await api.send(one);
      await api.expectMade([one, 1]);
      expectReplay(api, first, replay);
    },
  },
  operation: {
    level: 'choice',
    source: draft('2.4'),
    title: 'A used key on another operation is refused, or independent, as promised',
    costs: 'One intent has two meanings, and only one of them is done.',
    async run(api) {
      const purchase = api.purchase();
      await api.make(purchase);
      const answer = await api.send(purchase, otherOperation(api));
      if (api.profile.promises.onOtherOperation === 'refuse')
        expectRefused(answer, 'a used key on another operation');
      else expect(isSuccess(answer), `another operation is answered ${answer.status}`);
    },
  },
  'operation-answer': {
    level: 'must',
    source: draft('2.4'),
    title: 'Another operation under a used key is not answered with the first one',
    costs: WRONG_ANSWER,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const answer = await api.send(purchase, otherOperation(api));
      expect(answer.text !== first.text, 'the answer is that of the first operation');
      await api.expectMade([purchase, 1]);
    },
  },
  'operation-first-survives': {
    level: 'must',
    source: draft('2.4'),
    title: 'After another operation under its key the first is still replayed',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      await api.send(purchase, otherOperation(api));
      const replay = await api.send(purchase);
      await api.expectMade([purchase, 1]);
      expectReplay(api, first, replay);
    },
  },
  'operation-used-first': {
    level: 'must',
    source: draft('2.4'),
    title: 'A key that another operation has used is refused, or makes an object',
    costs: TWO_IN_ONE,
    async run(api) {
      const purchase = api.purchase();
      const other = await api.send(purchase, otherOperation(api));
      const answer = await api.send(purchase);
      expect(answer.text !== other.text, 'the answer is that of the other operation');
      await api.expectMade([purchase, isSuccess(answer) ? 1 : 0]);
    },
  },
  'unauthenticated-key': {
    level: 'must',
    source: draft('5'),
    title: 'A request without credentials does not use up the key',
    costs: NOT_MADE,
    async run(api) {
      const purchase = api.purchase();
      if (Object.keys(purchase.account.headers).length === 0)
        throw new Skipped('the accounts have no credentials');
      const refused = await api.send(purchase, { account: null });
      expectRefused(refused, 'a request without credentials');
      await api.make(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
});

/** Two purchases with one key and one body, from two accounts. */
function twins(api: Api): [Purchase, Purchase] {
  const one = api.purchase();
  return [one, { ...one, account: api.secondAccount }];
}

function otherOperation(api: Api) {
  const { method, path, body } = api.needs(api.profile.other, 'other operation');
  return { method, path, body: withReference(body, `other-${api.key()}`) };
}
