import { createHash, randomUUID } from 'node:crypto';
import type { Api } from '../check/api.js';
import { cases, draft, rfc } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import { expect, expectRefused, expectReplay, isSuccess } from '../check/expect.js';
import { asNoAnswer } from '../wire/answer.js';
import { PAYS_TWICE, TWO_IN_ONE } from './costs.js';
import { neverOne, ownObjects } from './several-keys.js';

export const KEY_SYNTAX_CASES = cases('header', {
  string: {
    level: 'must',
    source: draft('2.1'),
    title: 'A key in quotes, sent twice, makes one object',
    costs: PAYS_TWICE,
    async run(api) {
      const purchase = { ...api.purchase(), key: `"${randomUUID()}"` };
      const answer = await api.send(purchase);
      await api.send(purchase);
      await api.expectMade([purchase, isSuccess(answer) ? 1 : 0]);
    },
  },
  'string-is-bare': {
    level: 'choice',
    source: draft('2.1'),
    title: 'A key with and without quotes is the same key, or refused without, as promised',
    costs: PAYS_TWICE,
    async run(api) {
      const { keySyntax } = api.profile.promises;
      if (keySyntax === 'bare') throw new Skipped('quotes have no meaning in this API');
      const key = randomUUID();
      const purchase = { ...api.purchase(), key: `"${key}"` };
      const first = await api.make(purchase);
      const answer = await api.send(purchase, { key });
      if (keySyntax === 'both') expectReplay(api, first, answer);
      else expectRefused(answer, 'a key without quotes');
      await api.expectMade([purchase, 1]);
    },
  },
  unterminated: {
    level: 'should',
    source: rfc(9651, '4.2.5'),
    title: 'A quote that does not end is refused and makes nothing',
    costs: 'A key that was cut on the way may equal another one.',
    async run(api) {
      needsStrings(api);
      const purchase = api.purchase();
      expectRefused(await api.send(purchase, { key: `"${randomUUID()}` }), 'half a string');
      await api.expectMade([purchase, 0]);
    },
  },
  parameters: {
    level: 'must',
    source: rfc(9651, '3.1.2'),
    title: 'A parameter behind the key makes no second object',
    costs: PAYS_TWICE,
    async run(api) {
      needsStrings(api);
      const purchase = { ...api.purchase(), key: `"${randomUUID()}"` };
      await api.make(purchase);
      await api.send(purchase, { key: `${purchase.key};v=1` });
      await api.expectMade([purchase, 1]);
    },
  },
  'value-case': {
    level: 'should',
    source: rfc(9651, '3.3.3'),
    title: 'Keys that differ in capitals are two',
    costs: TWO_IN_ONE,
    async run(api) {
      const key = randomUUID().replace(/^./, 'a');
      await ownObjects(api, [api.key(key), api.key(key.toUpperCase())]);
    },
  },
  neighbours: {
    level: 'must',
    source: draft('2.2'),
    title: 'Keys that differ in one character are two',
    costs: TWO_IN_ONE,
    async run(api) {
      const start = randomUUID().slice(0, 18);
      const keys = ['-order-1001', '-order-1002', '-order-1001-', '-order-100'];
      await ownObjects(
        api,
        keys.map((end) => api.key(start + end)),
      );
    },
  },
  shapes: {
    level: 'should',
    source: draft('2.2'),
    title: 'Keys of common shapes work: ULID, hash, Base64, path',
    costs: 'Clients must invent another key, and invent one that is not unique.',
    async run(api) {
      const hash = createHash('sha256').update(randomUUID());
      const shapes = [
        `01J${randomUUID().replaceAll('-', '').toUpperCase().slice(0, 23)}`,
        hash.copy().digest('hex'),
        `+/${hash.digest('base64')}`,
        `shop:orders/${randomUUID()}`,
      ];
      await ownObjects(
        api,
        shapes.map((shape) => api.key(shape)),
      );
    },
  },
  'non-ascii': {
    level: 'should',
    source: rfc(9110, '5.5'),
    title: 'A key outside ASCII is refused and makes nothing',
    costs: 'Each proxy may change such bytes, and the retry arrives under another key.',
    async run(api) {
      const purchase = api.purchase();
      expectRefused(await api.send(purchase, { key: api.key(`ü-${randomUUID()}`) }), 'the key');
      await api.expectMade([purchase, 0]);
    },
  },
  'non-ascii-not-one': {
    level: 'must',
    source: rfc(9110, '5.5'),
    title: 'Two keys that differ outside ASCII are not one',
    costs: TWO_IN_ONE,
    async run(api) {
      const end = randomUUID();
      await neverOne(api, [api.key(`ü${end}`), api.key(`é${end}`)]);
    },
  },
  control: {
    level: 'should',
    source: rfc(9110, '5.5'),
    title: 'A control character in the key is refused and makes nothing',
    costs: 'One server cuts the key at such a character, another keeps it.',
    async run(api) {
      const purchase = api.purchase();
      const outcome = await api
        .send(purchase, { key: api.key(`a\x01${randomUUID()}`) })
        .catch(asNoAnswer);
      expect(!isSuccess(outcome), 'the key is accepted');
      await api.expectMade([purchase, 0]);
    },
  },
});

function needsStrings(api: Api): void {
  if (api.profile.promises.keySyntax === 'bare')
    throw new Skipped('quotes have no meaning in this API');
}
