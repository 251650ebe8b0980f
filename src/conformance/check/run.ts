import type { Profile } from '../profile/profile.js';
import { NoAnswer } from '../wire/answer.js';
import { Connection } from '../wire/connection.js';
import { CapReached } from '../wire/load.js';
import { Api } from './api.js';
import { type Case } from './case.js';
import { Failed, Skipped } from './verdict.js';
import type { Exchange, Session } from './exchange.js';
import { expectOwnObjects } from './expect.js';
import type { Purchase } from './purchase.js';

/**
 * `mismatch`: the API does not keep what the profile promises. `skip`: the profile lacks something that the case needs.
 * `not-run`: the run ended before the case did.
 */
export type Verdict = 'pass' | 'fail' | 'mismatch' | 'skip' | 'not-run';

export interface Result {
  case: Case;
  verdict: Verdict;
  /** The reason, unless it passed. */
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
  /** Why the run ended before its last case. */
  stoppedBy?: string;
}

/**
 * Cases run one after another: each counts what it made, and no case may cause the failure of another. `interruption`
 * resolves with a reason. The running case is then abandoned, but only the end of the process stops it.
 */
export async function runCases(
  cases: Case[],
  profile: Profile,
  session: Session,
  interruption: Promise<string>,
  progress: (result: Result) => void,
): Promise<Run> {
  const run: Run = { results: [] };
  run.stoppedBy = await Promise.race([interruption, checkProfile(profile, session)]);
  for (const each of cases) {
    if (run.stoppedBy !== undefined) {
      run.results.push(notRun(each, run.stoppedBy));
      continue;
    }
    const result = await Promise.race([
      interruption.then((reason) => notRun(each, `${reason} while the case ran`)),
      runCase(each, profile, session),
    ]);
    run.stoppedBy = await Promise.race([interruption, reasonToStop(result, session)]);
    run.results.push(result);
    progress(result);
  }
  return run;
}

function notRun(each: Case, detail: string): Result {
  return { case: each, verdict: 'not-run', detail, ms: 0, exchanges: [] };
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
  const isBroken = judged.verdict === 'fail' || judged.verdict === 'mismatch';
  // The evidence of all passed cases would need too much memory.
  return { case: each, ...judged, ms, exchanges: isBroken ? api.exchanges : [] };
}

async function judge(each: Case, api: Api): Promise<{ verdict: Verdict; detail?: string }> {
  try {
    await api.begin();
    await each.run(api);
    return { verdict: 'pass' };
  } catch (error) {
    const { message: detail } = error as Error;
    if (error instanceof Skipped) return { verdict: 'skip', detail };
    if (error instanceof CapReached) return { verdict: 'not-run', detail };
    if (!(error instanceof Failed || error instanceof NoAnswer)) throw error;
    return { verdict: each.level === 'choice' ? 'mismatch' : 'fail', detail };
  }
}

/** If this fails, the count itself may be wrong, so the message says how it counts. */
async function expectCounted(api: Api, purchase: Purchase, made: number): Promise<void> {
  const { path, items, reference, number } = api.profile.count;
  const how = number ?? `${items}, those whose ${reference} holds ${purchase.reference}`;
  await api.expectMade([purchase, made]).catch((error: Error) => {
    if (error instanceof Failed) error.message += ` (counted by GET ${path}: ${how})`;
    throw error;
  });
}

/**
 * One request succeeds and is counted; two keys make two objects and both are counted. Without this control, a count
 * that never changes would let every case pass. @throws CannotRun
 */
async function checkProfile(profile: Profile, session: Session): Promise<undefined> {
  const api = new Api(profile, session);
  try {
    await api.begin();
    const purchase = api.purchase();
    await api.expectMade([purchase, 0]);
    const answers = [await api.make(purchase)];
    if (api.idIn(answers[0]!) === undefined)
      throw new Failed(`the answer has nothing at ${profile.create.id} (create.id)`);
    await expectCounted(api, purchase, 1);
    answers.push(await api.make(purchase, { key: api.key() }));
    await expectCounted(api, purchase, 2);
    expectOwnObjects(api, answers);
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
