import type { Api } from '../check/api.js';
import { expectOwnObjects, isSuccess } from '../check/expect.js';
import type { Answer } from '../wire/answer.js';

/**
 * The same body under each key: each is refused, or makes its own object. With different bodies, an API that confuses
 * two keys would refuse the second body, and the case would pass.
 */
export async function neverOne(api: Api, keys: string[]): Promise<void> {
  const purchase = api.purchase();
  const answers: Answer[] = [];
  for (const key of keys) answers.push(await api.send(purchase, { key }));
  const successes = answers.filter(isSuccess);
  await api.expectMade([purchase, successes.length]);
  expectOwnObjects(api, successes);
}

/** The same body under each key: each makes its own object. */
export async function ownObjects(api: Api, keys: string[]): Promise<void> {
  const purchase = api.purchase();
  const answers: Answer[] = [];
  for (const key of keys) answers.push(await api.make(purchase, { key }));
  await api.expectMade([purchase, keys.length]);
  expectOwnObjects(api, answers);
}
