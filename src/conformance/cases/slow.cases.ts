import { setTimeout as delay } from 'node:timers/promises';
import type { Api } from '../check/api.js';
import { cases, draft } from '../check/case.js';
import { expect, expectOneObject, expectReplay, isSuccess } from '../check/expect.js';
import { NOT_MADE, PAYS_TWICE, SUPPORT, TWO_IN_ONE } from './costs.js';

/** Long enough for the first request to be in progress. */
const HEAD_START_MS = 300;

/** Cases during a request that is slow, as the profile says. */
export const SLOW_CASES = cases('concurrency', {
  'while-running': {
    level: 'choice',
    source: draft('2.7'),
    title: 'A duplicate of a running request waits, or gets 409, as promised',
    costs: SUPPORT,
    async run(api) {
      const { purchase, running } = await underWay(api);
      const duplicate = await api.send(purchase);
      const first = await running;
      if (api.profile.promises.onConcurrent === '409')
        expect(duplicate.status === 409, `the duplicate is answered ${duplicate.status}`);
      else expectReplay(api, first, duplicate);
    },
  },
  'while-running-once': {
    level: 'must',
    source: draft('2.6'),
    title: 'Duplicates of a running request make no second object, and show no other',
    costs: PAYS_TWICE,
    async run(api) {
      const { purchase, running } = await underWay(api);
      const sent = [api.send(purchase), api.send(purchase), running];
      const ended = await Promise.allSettled(sent);
      const answers = ended.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
      const retry = await api.settle(purchase);
      await api.expectMade([purchase, 1]);
      expectOneObject(api, [...answers, retry]);
    },
  },
  'while-running-other-body': {
    level: 'must',
    source: draft('2.7'),
    title: 'Another body under the key of a running request makes nothing and does not succeed',
    costs: TWO_IN_ONE,
    async run(api) {
      const { purchase, running } = await underWay(api);
      const body = api.changed(purchase, api.profile.create.changes.value);
      const answer = await api.send(purchase, { body });
      await running;
      const replays = api.profile.promises.onMismatch === 'replay';
      expect(replays || !isSuccess(answer), `the other body is answered ${answer.status}`);
      await api.expectMade([purchase, 1]);
    },
  },
  'while-running-other-key': {
    level: 'should',
    source: draft('2.2'),
    title: 'Another key does not wait for a running request',
    costs: NOT_MADE,
    async run(api) {
      const { running } = await underWay(api);
      let ended = false;
      void running.then(() => (ended = true));
      await api.make(api.purchase());
      const waited = ended;
      await running;
      expect(!waited, 'it is answered after the slow request only');
    },
  },
});

async function underWay(api: Api) {
  const patch = api.needs(api.profile.create.slow, 'create.slow');
  const purchase = api.purchase(api.account, patch);
  const running = api.make(purchase);
  running.catch(() => undefined); // awaited later
  await delay(HEAD_START_MS);
  return { purchase, running };
}
