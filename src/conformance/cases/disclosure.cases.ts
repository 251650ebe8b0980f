import type { Api } from '../check/api.js';
import type { Purchase } from '../check/purchase.js';
import { cases, draft, rfc } from '../check/case.js';
import { Skipped } from '../check/verdict.js';
import { expect, expectRefused, isSuccess } from '../check/expect.js';
import type { Account } from '../profile/profile.js';
import { headerOf, type Answer } from '../wire/answer.js';
import { OTHER_CUSTOMER } from './costs.js';
import { HOSTILE_BODIES, INTERNALS } from './hostile.js';

export const DISCLOSURE_CASES = cases('disclosure', {
  'other-account': {
    level: 'must',
    source: draft('5'),
    title: 'The same key and body from another account do not get the answer',
    costs: OTHER_CUSTOMER,
    async run(api) {
      const one = api.purchase();
      const first = await api.make(one);
      const answer = await api.send({ ...one, account: api.secondAccount });
      expect(!shows(answer, api.idIn(first)), "the answer shows the first account's object");
    },
  },
  'other-account-other-body': {
    level: 'must',
    source: draft('5'),
    title: "Another body from another account learns nothing of the key's first use",
    costs: OTHER_CUSTOMER,
    async run(api) {
      const one = api.purchase();
      const first = await api.make(one);
      const answer = await api.send({ ...api.purchase(api.secondAccount), key: one.key });
      expect(!shows(answer, api.idIn(first)), "the answer shows the first account's object");
      expect(!shows(answer, one.reference), "the answer shows the first account's body");
    },
  },
  'no-credentials': {
    level: 'must',
    source: draft('5'),
    title: 'Without credentials a used key is not answered',
    costs: OTHER_CUSTOMER,
    run: (api) => refusedStranger(api, () => null),
  },
  'wrong-credentials': {
    level: 'must',
    source: draft('5'),
    title: 'With wrong credentials a used key is not answered',
    costs: OTHER_CUSTOMER,
    run: (api) => refusedStranger(api, mangled),
  },
  'mismatch-values': {
    level: 'should',
    source: draft('2.7'),
    title: 'The refusal of another body does not show the values of the first',
    costs: 'Anyone with the key can read the purchase.',
    async run(api) {
      const { purchase, answer } = await refusal(api);
      expect(!shows(answer, purchase.reference), 'the refusal shows a value of the first body');
    },
  },
  'key-in-error': {
    level: 'should',
    source: draft('5'),
    title: 'The body of a refusal does not repeat the key',
    costs: 'Keys get into logs and screenshots, and a key can replay an answer.',
    async run(api) {
      const { purchase, answer } = await refusal(api);
      expect(!shows(answer, purchase.key), 'the refusal repeats the key');
    },
  },
  internals: {
    level: 'should',
    source: rfc(9457, '5'),
    title: 'Errors show no stack trace, SQL or path of the server',
    costs: 'Attackers learn what to attack.',
    async run(api) {
      api.needsJson();
      const { answer } = await mismatch(api);
      const answers = [answer];
      for (const [what, body] of HOSTILE_BODIES)
        answers.push(await api.send(api.purchase(), { body, note: what }));
      for (const { text } of answers)
        for (const [what, pattern] of INTERNALS)
          expect(!pattern.test(text), `an error shows ${what}`);
    },
  },
  markup: {
    level: 'should',
    source: rfc(9457, '5'),
    title: 'Markup in a key does not come back as a page',
    costs: 'A link can run a script in the session of a customer.',
    async run(api) {
      const script = '<script>alert(1)</script>';
      const answer = await api.send(api.purchase(), { key: api.key(script), body: '{' });
      const isPage = (headerOf(answer, 'content-type') ?? '').includes('html');
      expect(!(isPage && answer.text.includes(script)), 'the key comes back as HTML');
    },
  },
  credentials: {
    level: 'must',
    source: rfc(9110, '17.16.1'),
    title: 'No answer shows the credentials of the request',
    costs: 'Credentials get into logs and caches.',
    async run(api) {
      const { purchase, first, answer } = await mismatch(api);
      const replay = await api.send(purchase);
      for (const value of Object.values(purchase.account.headers))
        for (const part of value.split(' ').filter((each) => each.length >= 8))
          expect(
            ![first, answer, replay].some((each) => shows(each, part)),
            'an answer shows them',
          );
    },
  },
  cache: {
    level: 'should',
    source: rfc(9111, '5.2.2.9'),
    title: 'Neither the first answer nor the replay may be kept by shared caches',
    costs: OTHER_CUSTOMER,
    async run(api) {
      const { purchase, first } = await mismatch(api);
      for (const answer of [first, await api.send(purchase)]) {
        const control = headerOf(answer, 'cache-control') ?? '';
        expect(!/\bpublic\b|\bs-maxage=[1-9]/.test(control), `Cache-Control is ${control}`);
      }
    },
  },
});

async function mismatch(api: Api) {
  const purchase = api.purchase();
  const first = await api.make(purchase);
  // All values differ, so that a value in the refusal can only come from the first body.
  const other = api.purchase(purchase.account, api.profile.create.changes.value);
  return { purchase, first, answer: await api.send(purchase, { body: other.body }) };
}

async function refusal(api: Api) {
  const sent = await mismatch(api);
  if (isSuccess(sent.answer)) throw new Skipped('the API does not refuse another body');
  return sent;
}

async function refusedStranger(
  api: Api,
  stranger: (account: Account) => Account | null,
): Promise<void> {
  const purchase: Purchase = api.purchase();
  if (Object.keys(purchase.account.headers).length === 0)
    throw new Skipped('the accounts have no credentials');
  const first = await api.make(purchase);
  const answer = await api.send(purchase, { account: stranger(purchase.account) });
  expectRefused(answer, 'a stranger');
  expect(!shows(answer, api.idIn(first)), 'the refusal shows the object');
}

function mangled(account: Account): Account {
  const headers = Object.entries(account.headers).map(([name, value]): [string, string] => [
    name,
    `${value}x`,
  ]);
  return { name: 'wrong credentials', headers: Object.fromEntries(headers) };
}

function shows({ text }: Answer, value: unknown): boolean {
  return typeof value === 'string' && value !== '' && text.includes(value);
}
