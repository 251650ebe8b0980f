import { headerOf, type Answer } from '../wire/answer.js';
import type { Api, Outcome } from './api.js';
import { Failed } from './verdict.js';

export function isAnswer(outcome: Outcome): outcome is Answer {
  return !(outcome instanceof Error);
}

export function isSuccess(outcome: Outcome): outcome is Answer {
  return isAnswer(outcome) && outcome.status >= 200 && outcome.status < 300;
}

/** @throws Failed */
export function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Failed(otherwise);
}

export function expectSameStatus(first: Answer, replay: Answer): void {
  expect(
    replay.status === first.status,
    `the replay is ${replay.status}, the first answer was ${first.status}`,
  );
}

/** The replay has the status and names the object of the first answer. */
export function expectReplay(api: Api, first: Answer, replay: Answer): void {
  expectSameStatus(first, replay);
  expect(api.idIn(first) === api.idIn(replay), 'the replay shows another object');
}

export function expectSameBytes(first: Answer, replay: Answer): void {
  expect(replay.text === first.text, 'the body of the replay differs from the first');
}

/** Expects one of `statuses`, or by default any 4xx. */
export function expectRefused(answer: Answer, what: string, ...statuses: number[]): void {
  const fits =
    statuses.length === 0
      ? answer.status >= 400 && answer.status < 500
      : statuses.includes(answer.status);
  expect(fits, `${what} is answered ${answer.status}, not ${statuses.join(' or ') || '4xx'}`);
}

/** The answer to another body under a used key is what the profile says. */
export function expectMismatch(api: Api, first: Answer, answer: Answer): void {
  const { onMismatch } = api.profile.promises;
  if (onMismatch === 'replay') expectReplay(api, first, answer);
  else expectRefused(answer, 'another body under a used key', onMismatch);
}

/** A success would claim that the API executed the other request. */
export function expectNoFalseSuccess(api: Api, answer: Answer): void {
  if (api.profile.promises.onMismatch === 'replay') return;
  expect(
    !isSuccess(answer),
    `another body under a used key is answered ${answer.status}: the client believes that it was done`,
  );
}

export function expectHeader(first: Answer, replay: Answer, name: string): void {
  const [before, now] = [headerOf(first, name), headerOf(replay, name)];
  expect(before === now, `${name} was ${before ?? 'absent'}, the replay has ${now ?? 'none'}`);
}

/** No two answers name the same object. */
export function expectOwnObjects(api: Api, answers: Answer[]): void {
  const ids = answers.map((answer) => String(api.idIn(answer)));
  expect(
    new Set(ids).size === ids.length,
    `${ids.length} requests with keys of their own are answered with ${new Set(ids).size} objects`,
  );
}

/** All successes name one object. */
export function expectOneObject(api: Api, outcomes: Outcome[]): void {
  const ids = new Set(outcomes.filter(isSuccess).map((answer) => String(api.idIn(answer))));
  expect(ids.size === 1, `the successes name ${ids.size} objects`);
}
