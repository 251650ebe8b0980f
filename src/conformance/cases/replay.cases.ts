import { setTimeout as delay } from 'node:timers/promises';
import type { Api, Changes } from '../check/api.js';
import { cases, draft, rfc, STRIPE } from '../check/case.js';
import {
  expect,
  expectHeader,
  expectMismatch,
  expectReplay,
  expectSameBytes,
  expectSameStatus,
  isSuccess,
} from '../check/expect.js';
import { escaped, reordered } from '../profile/body.js';
import { headerOf, type Answer } from '../wire/answer.js';
import { PAYS_TWICE, WRONG_ANSWER } from './costs.js';

export const REPLAY_CASES = cases('replay', {
  'one-object': {
    level: 'must',
    source: draft('2.6'),
    title: 'The same request sent twice makes one object',
    costs: PAYS_TWICE,
    run: (api) => once(api),
  },
  object: {
    level: 'must',
    source: draft('2.6'),
    title: 'The replay shows the object of the first answer',
    costs: WRONG_ANSWER,
    async run(api) {
      const { first, replay } = await twice(api);
      const [made, shown] = [api.idIn(first), api.idIn(replay)];
      expect(isSuccess(replay), `the replay is ${replay.status}`);
      expect(made !== undefined, 'the first answer shows no id');
      expect(made === shown, 'the replay shows another object');
    },
  },
  status: {
    level: 'should',
    source: STRIPE,
    title: 'The replay has the status of the first answer',
    costs: WRONG_ANSWER,
    async run(api) {
      const { first, replay } = await twice(api);
      expectSameStatus(first, replay);
    },
  },
  bytes: {
    level: 'should',
    source: STRIPE,
    title: 'The replay has the same bytes as the first answer',
    costs: 'Signatures, hashes and comparisons of answers fail; a snapshot is no longer one.',
    async run(api) {
      const { first, replay } = await twice(api);
      expectSameBytes(first, replay);
    },
  },
  headers: {
    level: 'choice',
    source: draft('2.6'),
    title: 'The replay repeats the headers that the profile names',
    costs: 'A client that follows Location or ETag loses its object.',
    async run(api) {
      const { first, replay } = await twice(api);
      for (const name of api.profile.promises.repeatedHeaders) expectHeader(first, replay, name);
    },
  },
  marked: {
    level: 'choice',
    source: STRIPE,
    title: 'The replay is marked as one',
    costs: 'The logs do not show how often clients retry.',
    async run(api) {
      const mark = api.needs(api.profile.promises.replayHeader, 'replayHeader');
      const { replay } = await twice(api);
      const found = headerOf(replay, mark.name);
      expect(found === mark.value, `${mark.name} is ${found ?? 'absent'}, not ${mark.value}`);
    },
  },
  'first-not-marked': {
    level: 'choice',
    source: STRIPE,
    title: 'The first answer is not marked as a replay',
    costs: 'A client mistakes its own purchase for an older one.',
    async run(api) {
      const mark = api.needs(api.profile.promises.replayHeader, 'replayHeader');
      const { first } = await twice(api);
      expect(headerOf(first, mark.name) !== mark.value, `the first answer has ${mark.name}`);
    },
  },
  later: {
    level: 'must',
    source: draft('2.3'),
    title: 'A replay some seconds later makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      await delay(api.profile.timing.laterSeconds * 1000);
      const replay = await api.send(purchase);
      await api.expectMade([purchase, 1]);
      expectReplay(api, first, replay);
    },
  },
  'ten-times': {
    level: 'must',
    source: draft('2.6'),
    title: 'Ten replays make no second object and are all the same',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const replays: Answer[] = [];
      for (let i = 0; i < 10; i += 1) replays.push(await api.send(purchase));
      await api.expectMade([purchase, 1]);
      for (const replay of replays) expectReplay(api, first, replay);
    },
  },
  'after-others': {
    level: 'must',
    source: draft('2.3'),
    title: 'Fifteen other purchases do not push a key out',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const others = Array.from({ length: 15 }, () => api.purchase());
      for (const other of others) await api.make(other);
      const replay = await api.send(purchase);
      await api.expectMade([purchase, 1], ...others.map((other): [typeof other, 1] => [other, 1]));
      expectReplay(api, first, replay);
    },
  },
  order: {
    level: 'must',
    source: rfc(8259, '4'),
    title: 'The same members in another order make no second object',
    costs: PAYS_TWICE,
    async run(api) {
      await once(api, ({ body }) => ({ body: JSON.stringify(reordered(body)) }));
    },
  },
  whitespace: {
    level: 'must',
    source: rfc(8259, '2'),
    title: 'The same JSON with other white space makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      await once(api, ({ body }) => ({ body: ` ${JSON.stringify(body, null, 2)}\n` }));
    },
  },
  escapes: {
    level: 'must',
    source: rfc(8259, '7'),
    title: 'The same texts written as escapes make no second object',
    costs: PAYS_TWICE,
    async run(api) {
      await once(api, ({ body }) => ({ body: escaped(body) }));
    },
  },
  'same-value': {
    level: 'choice',
    source: draft('2.4'),
    title: 'The same JSON in other bytes is a replay, or another body, as promised',
    costs: 'A client whose JSON library changes can no longer retry.',
    async run(api) {
      api.needsJson();
      const purchase = api.purchase();
      const first = await api.make(purchase);
      const body = JSON.stringify(reordered(purchase.body), null, 2);
      const answer = await api.send(purchase, { body });
      if (api.profile.promises.sameBody === 'json-value') expectReplay(api, first, answer);
      else expectMismatch(api, first, answer);
    },
  },
});

async function twice(api: Api) {
  const purchase = api.purchase();
  const first = await api.make(purchase);
  return { first, replay: await api.send(purchase) };
}

/** Sends the request, then the same JSON written differently. Expects a replay or a refusal, not a second object. */
async function once(
  api: Api,
  changes: (purchase: ReturnType<Api['purchase']>) => Changes = () => ({}),
): Promise<void> {
  const purchase = api.purchase();
  const second = changes(purchase);
  if (second.body !== undefined) api.needsJson();
  await api.make(purchase);
  await api.send(purchase, second);
  await api.expectMade([purchase, 1]);
}
