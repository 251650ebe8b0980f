import { randomUUID } from 'node:crypto';
import type { Api } from '../check/api.js';
import { cases, draft, rfc, STRIPE } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import { expect, expectRefused, isSuccess } from '../check/expect.js';
import { neverOne, ownObjects } from './several-keys.js';
import { KEY_SYNTAX_CASES } from './key-syntax.cases.js';
import { PAYS_TWICE, TWO_IN_ONE } from './costs.js';

export const HEADER_CASES = [
  ...cases('header', {
    missing: {
      level: 'choice',
      source: draft('2.7'),
      title: 'A request without a key is refused, or accepted, as promised',
      costs: 'A client that forgets the key has no protection, and does not know it.',
      async run(api) {
        const purchase = api.purchase();
        const answer = await api.send(purchase, { key: null });
        if (api.profile.promises.onMissingKey === 'refuse')
          expectRefused(answer, 'a request without a key');
        else expect(isSuccess(answer), `a request without a key is answered ${answer.status}`);
      },
    },
    'missing-makes-nothing': {
      level: 'must',
      source: draft('2.7'),
      title: 'A request that is refused for its missing key makes nothing',
      costs: 'The client sees an error, tries again, and pays twice.',
      async run(api) {
        needsRefusal(api);
        const purchase = api.purchase();
        await api.send(purchase, { key: null });
        await api.expectMade([purchase, 0]);
      },
    },
    'missing-says-why': {
      level: 'should',
      source: draft('2.7'),
      title: 'The refusal of a request without a key names the header',
      costs: 'A developer guesses, and leaves the key out elsewhere.',
      async run(api) {
        needsRefusal(api);
        const answer = await api.send(api.purchase(), { key: null });
        expectRefused(answer, 'a request without a key');
        const words = answer.text.toLowerCase().replaceAll(/[\s_]+/g, '-');
        const { keyHeader } = api.profile;
        expect(words.includes(keyHeader.toLowerCase()), `the error does not name ${keyHeader}`);
      },
    },
    // Must run before another case uses the empty key. Otherwise an API that accepts an empty key refuses both for
    // their bodies.
    'empty-is-not-shared': {
      level: 'must',
      source: draft('2.2'),
      title: 'Two purchases with empty keys are not one',
      costs: TWO_IN_ONE,
      run: (api) => neverOne(api, ['', '']),
    },
    empty: {
      level: 'should',
      source: draft('2.2'),
      title: 'An empty key is refused and makes nothing',
      costs: 'A client whose key is lost on the way has no protection.',
      run: (api) => refusedKey(api, ''),
    },
    blank: {
      level: 'should',
      source: rfc(9110, '5.5'),
      title: 'A key of spaces is refused as an empty one is',
      costs: 'A client whose key is lost on the way has no protection.',
      run: (api) => refusedKey(api, '   '),
    },
    longest: {
      level: 'must',
      source: STRIPE,
      title: 'A key of the longest promised length works',
      costs: PAYS_TWICE,
      async run(api) {
        const key = longKey(api, '-');
        const purchase = { ...api.purchase(), key };
        await api.make(purchase);
        await api.send(purchase);
        await api.expectMade([purchase, 1]);
      },
    },
    'longest-differ': {
      level: 'must',
      source: STRIPE,
      title: 'Two keys of the longest length that differ in the last character are two',
      costs: TWO_IN_ONE,
      async run(api) {
        const start = randomUUID();
        await ownObjects(api, [longKey(api, '1', start), longKey(api, '2', start)]);
      },
    },
    'too-long': {
      level: 'choice',
      source: STRIPE,
      title: 'A key that is longer than promised is refused and makes nothing',
      costs: 'A key that is cut silently may equal another one.',
      run: (api) => refusedKey(api, `${longKey(api, '-')}x`),
    },
    'too-long-not-cut': {
      level: 'must',
      source: draft('2.2'),
      title: 'Two keys that differ only behind the longest length are not one',
      costs: TWO_IN_ONE,
      async run(api) {
        const cut = longKey(api, '-');
        await neverOne(api, [`${cut}1`, `${cut}2`]);
      },
    },
    'two-lines': {
      level: 'should',
      source: rfc(9110, '5.3'),
      title: 'Two lines with different keys are refused and make nothing',
      costs: 'It is a matter of luck which of the two protects the purchase.',
      async run(api) {
        const purchase = api.purchase();
        const answer = await api.send(purchase, { key: [purchase.key, api.key()] });
        expectRefused(answer, 'a request with two keys');
        await api.expectMade([purchase, 0]);
      },
    },
    'two-lines-once': {
      level: 'must',
      source: rfc(9110, '5.3'),
      title: 'A request with two lines, sent twice, makes at most one object',
      costs: PAYS_TWICE,
      async run(api) {
        const purchase = api.purchase();
        const key = [purchase.key, api.key()];
        await api.send(purchase, { key });
        await api.send(purchase, { key });
        await api.expectMade([purchase, { min: 0, max: 1 }]);
      },
    },
    'doubled-line': {
      level: 'must',
      source: rfc(9110, '5.3'),
      title: 'A header line that is doubled on the way makes no second object',
      costs: PAYS_TWICE,
      async run(api) {
        const purchase = api.purchase();
        await api.make(purchase);
        await api.send(purchase, { key: [purchase.key, purchase.key] });
        await api.expectMade([purchase, 1]);
      },
    },
    'name-case': {
      level: 'must',
      source: rfc(9110, '5.1'),
      title: 'The name of the header may be written in capitals',
      costs: PAYS_TWICE,
      async run(api) {
        const purchase = api.purchase();
        await api.make(purchase);
        const headers = { [api.profile.keyHeader.toUpperCase()]: purchase.key };
        await api.send(purchase, { key: null, headers });
        await api.expectMade([purchase, 1]);
      },
    },
    'space-around': {
      level: 'must',
      source: rfc(9110, '5.5'),
      title: 'Spaces around the key do not belong to it',
      costs: PAYS_TWICE,
      async run(api) {
        const purchase = api.purchase();
        await api.make(purchase);
        await api.send(purchase, { key: ` \t ${purchase.key}  ` });
        await api.expectMade([purchase, 1]);
      },
    },
    'on-get': {
      level: 'must',
      source: rfc(9110, '9.2.1'),
      title: 'A GET with a used key reads, and is no replay',
      costs: 'A client reads an old answer and believes that it is the current state.',
      async run(api) {
        const purchase = api.purchase();
        const made = await api.make(purchase);
        const headers = { [api.profile.keyHeader]: purchase.key };
        const answer = await api.read(purchase.account, headers);
        expect(answer.status === 200, `the GET is answered ${answer.status}`);
        expect(answer.text !== made.text, 'the GET is answered with the answer to the POST');
        await api.expectMade([purchase, 1]);
      },
    },
  }),
  ...KEY_SYNTAX_CASES,
];

function needsRefusal(api: Api): void {
  if (api.profile.promises.onMissingKey === 'accept')
    throw new Skipped('the API accepts requests without a key');
}

async function refusedKey(api: Api, key: string): Promise<void> {
  if (key.trim() === '') needsRefusal(api);
  const purchase = api.purchase();
  const answer = await api.send(purchase, { key });
  expectRefused(answer, 'the key');
  await api.expectMade([purchase, 0]);
}

/** A key of the promised length. The quotes of a structured-field string do not count. */
function longKey(api: Api, end: string, start: string = randomUUID()): string {
  const length = api.needs(api.profile.promises.keyMaxLength, 'keyMaxLength');
  return api.key(start.padEnd(length - 1, '0') + end);
}
