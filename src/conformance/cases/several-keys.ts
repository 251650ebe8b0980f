import type { Api } from '../check/api.js';
import { expectOwnObjects, isSuccess, madeIf } from '../check/expect.js';
import type { Answer } from '../wire/answer.js';

/** A purchase under each key: each is refused, or made by itself. */
export async function neverOne(api: Api, keys: string[]): Promise<void> {
  const purchases = keys.map((key) => ({ ...api.purchase(), key }));
  const answers: Answer[] = [];
  for (const purchase of purchases) answers.push(await api.send(purchase));
  await api.expectMade(...purchases.map((each, i) => madeIf(each, answers[i]!)));
  expectOwnObjects(api, answers.filter(isSuccess));
}

/** A purchase under each key: each is made, by itself. */
export async function ownObjects(api: Api, keys: string[]): Promise<void> {
  const purchases = keys.map((key) => ({ ...api.purchase(), key }));
  const answers: Answer[] = [];
  for (const purchase of purchases) answers.push(await api.make(purchase));
  await api.expectMade(...purchases.map((each, i) => madeIf(each, answers[i]!)));
  expectOwnObjects(api, answers);
}
