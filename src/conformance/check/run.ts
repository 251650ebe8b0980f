import type { Profile } from '../profile/profile.js';
import { NoAnswer } from '../wire/answer.js';
import { Connection } from '../wire/connection.js';
import { CapReached } from '../wire/load.js';
import { Api } from './api.js';
import { type Case } from './case.js';
import { Failed, Skipped } from './verdict.js';
import type { Exchange, Session } from './exchange.js';
import { expectOwnObjects } from './expect.js';

/** `mismatch`: the API does not keep what the profile promises. */
export type Verdict = 'pass' | 'fail' | 'mismatch' | 'skip';

export interface Result {
  case: Case;
  verdict: Verdict;
  /** Why, unless it passed. */
  detail?: string;
  ms: number;
  exchanges: Exchange[];
}

/** The check cannot judge this API: it cannot be reached, or the profile does not fit it. */
export class CannotRun extends Error {
  override readonly name = 'CannotRun';
}

export interface Run {
  results: Result[];
  /** Why cases at the end did not run. */
  stoppedBy?: string;
}

/** Cases run one after another: each counts what it made, and no case may cause the failure of another. */
export async function runCases(
  cases: Case[],
  profile: Profile,
  session: Session,
  progress: (result: Result) => void,
): Promise<Run> {
  await checkProfile(profile, session);
  const run: Run = { results: [] };
  for (const each of cases) {
    const result: Result =
      run.stoppedBy === undefined
        ? await runCase(each, profile, session)
        : { case: each, verdict: 'skip', detail: run.stoppedBy, ms: 0, exchanges: [] };
    run.stoppedBy ??= await reasonToStop(result, session);
    run.results.push(result);
    progress(result);
  }
  return run;
}

/** After the API dies or the cap is reached, every later case would fail. */
async function reasonToStop(result: Result, session: Session): Promise<string | undefined> {
  if (session.load.exhausted) return result.detail;
  if (result.verdict !== 'fail' && result.verdict !== 'mismatch') return undefined;
  try {
    (await Connection.open(session.target, session.timeoutMs)).close();
    return undefined;
  } catch {
    return `the API can no longer be reached after ${result.case.id}`;
  }
}

async function runCase(each: Case, profile: Profile, session: Session): Promise<Result> {
  const api = new Api(profile, session);
  const start = performance.now();
  const judged = await judge(each, api);
  const ms = Math.round(performance.now() - start);
  return { case: each, ...judged, ms, exchanges: api.exchanges };
}

async function judge(each: Case, api: Api): Promise<{ verdict: Verdict; detail?: string }> {
  try {
    await api.begin();
    await each.run(api);
    return { verdict: 'pass' };
  } catch (error) {
    const { message: detail } = error as Error;
    if (error instanceof Skipped || error instanceof CapReached) return { verdict: 'skip', detail };
    if (!(error instanceof Failed || error instanceof NoAnswer)) throw error;
    return { verdict: each.level === 'choice' ? 'mismatch' : 'fail', detail };
  }
}

/**
 * One request succeeds and is counted; two keys make two objects and both are counted. Without this control, a count
 * that never changes would let every case pass. @throws CannotRun
 */
async function checkProfile(profile: Profile, session: Session): Promise<void> {
  const api = new Api(profile, session);
  try {
    await api.begin();
    const purchase = api.purchase();
    await api.expectMade([purchase, 0]);
    const answers = [await api.make(purchase)];
    await api.expectMade([purchase, 1]);
    answers.push(await api.make(purchase, { key: api.key() }));
    await api.expectMade([purchase, 2]);
    expectOwnObjects(api, answers);
    if (api.idIn(answers[0]!) === undefined)
      throw new Failed(`the answer has nothing at ${profile.create.id}`);
    for (const account of profile.accounts.slice(1)) await api.make(api.purchase(account));
  } catch (error) {
    if (!(error instanceof Failed || error instanceof NoAnswer)) throw error;
    const last = api.exchanges.at(-1);
    const answer = last?.answer ? `\nanswered ${last.answer.status}: ${last.answer.text}` : '';
    const request = last ? `\n${last.method} ${last.path} ${last.body ?? ''}` : '';
    throw new CannotRun(
      `A plain request with a new key does not do what the profile says: ${error.message}` +
        `${request}${answer}`.slice(0, 2000),
    );
  }
}
