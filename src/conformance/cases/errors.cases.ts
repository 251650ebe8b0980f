import type { Api, Changes } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft, rfc, STRIPE } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import {
  expect,
  expectRefused,
  expectSameBytes,
  expectSameStatus,
  isSuccess,
} from '../check/expect.js';
import { atPath, encode } from '../profile/body.js';
import { headerOf, type Answer } from '../wire/answer.js';
import { NOT_MADE, PAYS_TWICE, SUPPORT } from './costs.js';
import { HOSTILE_BODIES } from './hostile.js';

export const ERROR_CASES = cases('errors', {
  invalid: {
    level: 'must',
    source: STRIPE,
    title: 'An invalid body is refused and makes nothing',
    costs: 'The client corrects it, sends it again, and pays twice.',
    async run(api) {
      const { purchase, body } = invalid(api);
      expectRefused(await api.send(purchase, { body }), 'an invalid body');
      await api.expectMade([purchase, 0]);
    },
  },
  'invalid-again': {
    level: 'should',
    source: draft('2.7'),
    title: 'The same invalid body again gets the same status',
    costs: SUPPORT,
    async run(api) {
      const { purchase, body } = invalid(api);
      const first = await api.send(purchase, { body });
      expectSameStatus(first, await api.send(purchase, { body }));
    },
  },
  'invalid-key': {
    level: 'choice',
    source: STRIPE,
    title: 'After an invalid body the key is unused, or used up, as promised',
    costs: NOT_MADE,
    async run(api) {
      const { purchase, body } = invalid(api);
      await api.send(purchase, { body });
      const answer = await api.send(purchase);
      const stores = api.profile.promises.storesValidationErrors;
      const what = `the corrected body under the same key is answered ${answer.status}`;
      expect(isSuccess(answer) !== stores, what);
      await api.expectMade([purchase, stores ? 0 : 1]);
    },
  },
  malformed: {
    level: 'must',
    source: rfc(8259, '9'),
    title: 'A body that breaks off is refused and makes nothing',
    costs: 'The client cannot know which half was done.',
    async run(api) {
      const purchase = api.purchase();
      expectRefused(await api.send(purchase, malformed(api, purchase)), 'half a body');
      await api.expectMade([purchase, 0]);
    },
  },
  'malformed-key': {
    level: 'should',
    source: STRIPE,
    title: 'A body that breaks off does not use up the key',
    costs: NOT_MADE,
    async run(api) {
      const purchase = api.purchase();
      await api.send(purchase, malformed(api, purchase));
      await api.make(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
  'content-type': {
    level: 'should',
    source: rfc(9110, '15.5.16'),
    title: 'A wrong content type is refused and makes nothing',
    costs: 'What the server reads is not what the client meant.',
    async run(api) {
      const purchase = api.purchase();
      const answer = await api.send(purchase, { contentType: 'application/xml' });
      expectRefused(answer, 'a wrong content type');
      await api.expectMade([purchase, 0]);
    },
  },
  'content-type-key': {
    level: 'should',
    source: STRIPE,
    title: 'A wrong content type does not use up the key',
    costs: NOT_MADE,
    async run(api) {
      const purchase = api.purchase();
      await api.send(purchase, { contentType: 'application/xml' });
      await api.make(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
  'unknown-route-key': {
    level: 'should',
    source: rfc(9110, '15.5.5'),
    title: 'A request to an unknown path does not use up the key',
    costs: NOT_MADE,
    async run(api) {
      const purchase = api.purchase();
      const path = `/no-such-path-${purchase.reference}`;
      expectRefused(await api.send(purchase, { path }), 'an unknown path');
      await api.make(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
  'no-server-error': {
    level: 'should',
    source: rfc(9110, '15.6'),
    title: 'Hostile bodies are refused with 4xx, never 5xx',
    costs: 'A 5xx says "try again": clients repeat what can never succeed.',
    async run(api) {
      api.needsJson();
      for (const [what, body] of HOSTILE_BODIES)
        expectRefused(await api.send(api.purchase(), { body, note: what }), what);
    },
  },
  'broken-off-once': {
    level: 'must',
    source: draft('1'),
    title: 'A request that ends in a 5xx, and its retries, make one object at most',
    costs: PAYS_TWICE,
    async run(api) {
      const { purchase } = await brokenOff(api);
      for (let i = 0; i < 3; i += 1) await api.send(purchase);
      await api.expectMade([purchase, { min: 0, max: 1 }]);
    },
  },
  'broken-off-answered': {
    level: 'choice',
    source: STRIPE,
    title: 'After a 5xx the retries get an answer, or the same 5xx, as promised',
    costs: NOT_MADE,
    async run(api) {
      const { purchase, first } = await brokenOff(api);
      if (api.profile.promises.storesServerErrors) {
        const replay = await api.send(purchase);
        expectSameStatus(first, replay);
        return expectSameBytes(first, replay);
      }
      const answer = await api.settle(purchase);
      const some = { min: 1, max: Infinity }; // the previous case fails if there is more than one
      await api.expectMade([purchase, isSuccess(answer) ? some : 0]);
    },
  },
  'problem-missing-key': {
    level: 'choice',
    source: rfc(9457, '3'),
    title: 'The refusal of a missing key is a problem document, if that is promised',
    costs: SUPPORT,
    async run(api) {
      if (api.profile.promises.onMissingKey === 'accept')
        throw new Skipped('the API accepts requests without a key');
      expectProblem(api, await api.send(api.purchase(), { key: null }));
    },
  },
  'problem-invalid': {
    level: 'choice',
    source: rfc(9457, '3'),
    title: 'The refusal of an invalid body is a problem document, if that is promised',
    costs: SUPPORT,
    async run(api) {
      const { purchase, body } = invalid(api);
      expectProblem(api, await api.send(purchase, { body }));
    },
  },
  'problem-mismatch': {
    level: 'choice',
    source: rfc(9457, '3'),
    title: 'The refusal of another body is a problem document, if that is promised',
    costs: SUPPORT,
    async run(api) {
      const purchase = api.purchase();
      await api.make(purchase);
      const body = api.changed(purchase, api.profile.create.changes.value);
      expectProblem(api, await api.send(purchase, { body }));
    },
  },
});

/** A purchase whose first attempt has ended: in a 5xx, unless the API has recovered already. */
async function brokenOff(api: Api): Promise<{ purchase: Purchase; first: Answer }> {
  const patch = api.needs(api.profile.create.breaksOff, 'create.breaksOff');
  const purchase = api.purchase(api.account, patch);
  return { purchase, first: await api.send(purchase) };
}

function invalid(api: Api) {
  const patch = api.needs(api.profile.create.invalid, 'create.invalid');
  const purchase = api.purchase();
  return { purchase, body: api.changed(purchase, patch) };
}

function malformed(api: Api, { body }: Purchase): Changes {
  api.needsJson();
  return { body: encode(body, 'json').slice(0, -1), note: 'without the last brace' };
}

function expectProblem(api: Api, answer: Answer): void {
  if (api.profile.promises.errorFormat !== 'problem+json')
    throw new Skipped('the API promises no problem documents');
  const type = headerOf(answer, 'content-type') ?? 'no content type';
  expect(type.startsWith('application/problem+json'), `the error is ${type}`);
  const status = atPath(answer.body, '$.status');
  const what = `the member status is ${String(status)} in an answer ${answer.status}`;
  expect(status === undefined || status === answer.status, what);
}
