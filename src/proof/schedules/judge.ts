import type { Answer } from '../../idempotency/operation.js';
import { IdempotencyKeyExpired, IdempotencyKeyReused } from '../../idempotency/errors.js';
import { nameOf } from '../../log/redacted-error.js';
import type { Run } from './run.js';
import type { Observation } from './observation.js';

/** The promises that the code broke in this run, one phrase each. Empty if it broke none. */
export function judge(run: Run): string[] {
  if (run.stuck.length > 0) return [`stuck: ${run.stuck.join(', ')}`];
  return [...judgeStates(run), ...judgeEnd(run), ...judgeAnswers(run), ...judgeCalls(run)];
}

/** After each step there is at most one row of each kind, and states and epochs only go forward. */
function judgeStates({ observations, steps, purchase }: Run): string[] {
  const broken: string[] = [];
  const says = (isBroken: boolean, sentence: string) => {
    if (isBroken) broken.push(sentence);
  };
  for (const [index, now] of observations.entries()) {
    const before = observations[index - 1];
    says(now.charges.length > 1, `${now.charges.length} charges`);
    says(now.records > 1, `${now.records} records`);
    if (!before) continue;
    says(isFinal(before) && !isFinal(now), 'a final charge changed');
    if (!before.record || !now.record) {
      says(before.record?.expired === false, 'a record vanished that had not expired');
      continue;
    }
    says(now.record.epoch < before.record.epoch, 'the epoch went back');
    says(
      before.record.state === 'completed' && now.record.state !== 'completed',
      'a completed record is open again',
    );
    says(
      before.record.response_body !== null &&
        now.record.response_body !== before.record.response_body,
      'a stored answer changed',
    );
  }
  says(purchase.ledger.payments.length > 1, 'two payments');
  says(
    steps.some(({ result }) => result.endsWith('40P01')),
    'a deadlock',
  );
  return broken;
}

function isFinal({ charges }: Observation): boolean {
  return charges[0] === 'succeeded' || charges[0] === 'failed';
}

/** The client has retried by now, so each effect must exist exactly once. */
function judgeEnd({ observations, purchase, scenario }: Run): string[] {
  const { record, charges, events, parked, order, held } = observations.at(-1)!;
  const expected = scenario.order ? 'charge.succeeded,order.paid' : 'charge.succeeded';
  const facts: [boolean, string][] = [
    [charges.join() === 'succeeded', `charges: ${charges.join() || 'none'}`],
    [purchase.ledger.payments.length === 1, `payments: ${purchase.ledger.payments.length}`],
    [events.join() === expected, `events: ${events.join() || 'none'}`],
    [parked === 0, `${parked} parked payments`],
    [!record || record.state === 'completed', 'the record is not completed'],
    [!scenario.order || order === 'paid', `the order is ${order}`],
    [!scenario.order || held === 1, `the stock holds ${held}`],
  ];
  return facts.flatMap(([holds, sentence]) => (holds ? [] : [sentence]));
}

/** All answers have the bytes that are stored. The only errors are those that the schedule explains. */
function judgeAnswers(run: Run): string[] {
  const { actors, steps, observations, scenario } = run;
  const broken: string[] = [];
  const answers = new Set<string>();
  const hasExpired = steps.some(({ what }) => what === 'the stored answer expires');
  for (const { ended, gate } of actors) {
    if (!ended || 'done' in ended) continue;
    if ('answer' in ended) answers.add(bytesOf(ended.answer));
    else if (ended.error instanceof IdempotencyKeyReused && scenario.actors.includes('other'))
      continue;
    else if (!(ended.error instanceof IdempotencyKeyExpired && hasExpired))
      broken.push(`${gate.actor} ends with ${nameOf(ended.error)}`);
  }
  if (answers.size > 1) broken.push(`${answers.size} different answers`);
  const answered = actors.filter(({ ended }) => ended && 'answer' in ended);
  const bodies = new Set(answered.map(({ kind }) => kind).filter((kind) => kind !== 'retry'));
  if (bodies.has('request') && bodies.has('other')) broken.push('both bodies are answered');
  const stored = observations.map(({ record }) => record?.response_body).find(Boolean);
  for (const { gate, ended } of answered)
    if (ended && 'answer' in ended && ended.answer.body !== stored)
      broken.push(`the answer of ${gate.actor} is not the stored one`);
  return broken;
}

function bytesOf({ status, headers, body }: Answer): string {
  return JSON.stringify([status, headers, body]);
}

/** While no lease ends and no process dies, the processor is called once. */
function judgeCalls({ purchase, steps }: Run): string[] {
  const { calls } = purchase.ledger;
  const mayRepeat = steps.some(({ actor }) => actor === '');
  return calls === 1 || mayRepeat ? [] : [`the processor was called ${calls} times`];
}
