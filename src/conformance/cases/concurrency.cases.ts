import { setTimeout as delay } from 'node:timers/promises';
import type { Api, Outcome } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft, rfc, STRIPE } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import {
  expect,
  expectOneObject,
  expectOwnObjects,
  expectReplay,
  isAnswer,
  isSuccess,
} from '../check/expect.js';
import { headerOf } from '../wire/answer.js';
import { NOT_MADE, OTHER_CUSTOMER, PAYS_TWICE, SUPPORT, TWO_IN_ONE } from './costs.js';

export const CONCURRENCY_CASES = cases('concurrency', {
  'one-object': {
    level: 'must',
    source: draft('2.6'),
    title: 'Twenty at once with one key make one object',
    costs: PAYS_TWICE,
    async run(api) {
      const { purchase } = await raced(api);
      await api.settle(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
  answers: {
    level: 'choice',
    source: draft('2.7'),
    title: 'The duplicates wait for the answer, or get 409, as promised',
    costs: SUPPORT,
    async run(api) {
      const { outcomes } = await raced(api);
      const waits = api.profile.promises.onConcurrent === 'wait';
      const others = outcomes.filter(
        (each) => !isSuccess(each) && (waits || !isAnswer(each) || each.status !== 409),
      );
      expect(outcomes.some(isSuccess), 'none of them succeeds');
      expect(others.length === 0, `${others.length} get ${listed(others)}`);
      expectOneObject(api, outcomes);
    },
  },
  'no-server-error': {
    level: 'should',
    source: draft('2.7'),
    title: 'None of twenty at once gets 5xx or a broken connection',
    costs: 'Clients retry harder when the server is busiest.',
    async run(api) {
      const { outcomes } = await raced(api);
      const broken = outcomes.filter((each) => !isAnswer(each) || each.status >= 500);
      expect(broken.length === 0, `${broken.length} get ${listed(broken)}`);
    },
  },
  afterwards: {
    level: 'must',
    source: draft('2.6'),
    title: 'After the race every retry shows the object of the winner',
    costs: NOT_MADE,
    async run(api) {
      const { purchase, outcomes } = await raced(api);
      const retries = [await api.settle(purchase), await api.settle(purchase)];
      expect(retries.every(isSuccess), `a retry gets ${listed(retries)}`);
      await api.expectMade([purchase, 1]);
      expectOneObject(api, [...outcomes, ...retries]);
    },
  },
  'retry-after': {
    level: 'should',
    source: rfc(9110, '10.2.3'),
    title: 'A 409 for a request in progress says when to try again',
    costs: 'Clients guess, and hammer the server.',
    async run(api) {
      const { outcomes } = await raced(api);
      const conflicts = outcomes.filter(isAnswer).filter(({ status }) => status === 409);
      if (conflicts.length === 0) throw new Skipped('no duplicate got 409');
      const silent = conflicts.filter((each) => headerOf(each, 'retry-after') === undefined);
      expect(silent.length === 0, `${silent.length} of them have no Retry-After`);
    },
  },
  pairs: {
    level: 'must',
    source: draft('2.6'),
    title: 'A double click makes one object, five times over',
    costs: PAYS_TWICE,
    async run(api) {
      for (let round = 0; round < 5; round += 1) {
        const { purchase } = await raced(api, 2);
        await api.expectMade([purchase, 1]);
      }
    },
  },
  staggered: {
    level: 'must',
    source: draft('2.6'),
    title: 'Ten within 50 ms make one object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const sent: Promise<unknown>[] = [];
      for (let i = 0; i < Math.min(10, api.racers); i += 1) {
        sent.push(api.send(purchase).catch(() => undefined)); // only the retry below counts
        await delay(5);
      }
      await Promise.all(sent);
      await api.settle(purchase);
      await api.expectMade([purchase, 1]);
    },
  },
  'other-bodies': {
    level: 'must',
    source: draft('2.7'),
    title: 'Two bodies at once under one key make one object, and one body succeeds',
    costs: TWO_IN_ONE,
    async run(api) {
      const { purchase, outcomes } = await racedBodies(api);
      await api.expectMade([purchase, 1]);
      if (api.profile.promises.onMismatch === 'replay') return;
      const successes = outcomes.map((each, i) => isSuccess(each) && i % 2);
      const both = successes.includes(0) && successes.includes(1);
      expect(!both, 'both bodies are answered with success');
    },
  },
  'other-bodies-answers': {
    level: 'choice',
    source: draft('2.7'),
    title: 'The losing body is refused as a mismatch or as in progress',
    costs: SUPPORT,
    async run(api) {
      const { onMismatch } = api.profile.promises;
      const { outcomes } = await racedBodies(api);
      const known = (each: Outcome) =>
        isSuccess(each) || (isAnswer(each) && [409, onMismatch].includes(each.status));
      const others = outcomes.filter((each) => !known(each));
      expect(others.length === 0, `${others.length} get ${listed(others)}`);
    },
  },
  'other-keys': {
    level: 'must',
    source: draft('2.2'),
    title: 'Twenty at once with keys of their own make twenty objects',
    costs: NOT_MADE,
    async run(api) {
      const purchases = Array.from({ length: api.racers }, () => api.purchase());
      const outcomes = await api.race(purchases.map((purchase) => ({ purchase })));
      for (const [i, outcome] of outcomes.entries())
        if (!isSuccess(outcome)) await api.settle(purchases[i]!);
      await api.expectMade(...purchases.map((each): [Purchase, 1] => [each, 1]));
    },
  },
  'other-keys-answers': {
    level: 'must',
    source: draft('2.2'),
    title: 'Twenty at once with keys of their own get answers of their own',
    costs: OTHER_CUSTOMER,
    async run(api) {
      const purchases = Array.from({ length: api.racers }, () => api.purchase());
      const outcomes = await api.race(purchases.map((purchase) => ({ purchase })));
      expectOwnObjects(api, outcomes.filter(isSuccess));
      for (const [i, first] of outcomes.entries())
        if (isSuccess(first)) expectReplay(api, first, await api.settle(purchases[i]!));
    },
  },
  'mixed-keys': {
    level: 'must',
    source: draft('2.6'),
    title: 'Four keys at once, five times each, make four objects',
    costs: PAYS_TWICE,
    async run(api) {
      const purchases = Array.from({ length: 4 }, () => api.purchase());
      const each = Math.max(2, Math.floor(api.racers / 4));
      const requests = Array.from({ length: 4 * each }, (_, i) => ({
        purchase: purchases[i % 4]!,
      }));
      await api.race(requests.slice(0, api.racers));
      for (const purchase of purchases) await api.settle(purchase);
      await api.expectMade(...purchases.map((one): [Purchase, 1] => [one, 1]));
    },
  },
  accounts: {
    level: 'must',
    source: draft('5'),
    title: 'Two accounts at once with the same key make an object each',
    costs: OTHER_CUSTOMER,
    async run(api) {
      const one = api.purchase();
      const two = { ...api.purchase(api.secondAccount), key: one.key };
      await api.race([one, two, one, two].map((purchase) => ({ purchase })));
      const answers = [await api.settle(one), await api.settle(two)];
      await api.expectMade([one, 1], [two, 1]);
      expectOwnObjects(api, answers);
    },
  },
  replays: {
    level: 'must',
    source: STRIPE,
    title: 'Twenty replays at once make no second object and are all the same',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const outcomes = await api.race(copies(purchase, api.racers));
      await api.expectMade([purchase, 1]);
      const failed = outcomes.filter((each) => !isSuccess(each));
      expect(failed.length === 0, `${failed.length} get ${listed(failed)}`);
      expectOneObject(api, [first, ...outcomes]);
    },
  },
});

async function raced(api: Api, count = api.racers) {
  const purchase = api.purchase();
  return { purchase, outcomes: await api.race(copies(purchase, count)) };
}

function copies(purchase: Purchase, count: number) {
  return Array.from({ length: count }, () => ({ purchase }));
}

/** Half of the sockets send another body; either body may win. */
async function racedBodies(api: Api) {
  const purchase = api.purchase();
  const body = api.changed(purchase, api.profile.create.changes.value);
  const requests = Array.from({ length: api.racers }, (_, i) =>
    i % 2 === 0 ? { purchase } : { purchase, changes: { body } },
  );
  return { purchase, outcomes: await api.race(requests) };
}

function listed(outcomes: Outcome[]): string {
  const kinds = outcomes.map((each) => (isAnswer(each) ? String(each.status) : each.message));
  return [...new Set(kinds)].join(', ');
}
