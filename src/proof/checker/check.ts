import type { Journals } from '../history.js';
import * as answers from './answers.js';
import { digest } from './digest.js';
import * as effects from './effects.js';
import { eventsOnce } from './events.js';
import * as money from './money.js';
import * as objects from './objects.js';
import { nothingIsStuck, recoversInTime } from './recovery.js';
import { witnessOf, type Finding, type Rule, type Violation } from './violation.js';

/** What must be true of the journals. For each rule, checker.spec.ts has a history that violates only this rule. */
export const RULES = {
  'one object for a key': money.oneObject,
  'one payment for a key': money.onePayment,
  'an order is paid once': money.orderPaidOnce,
  'the same bytes': answers.sameBytes,
  'one request is answered': answers.oneRequestAnswered,
  'a seen answer is stored': answers.answerIsStored,
  'an answer is true': objects.answerIsTrue,
  'made as asked': objects.madeAsAsked,
  'an answered request is replayed': answers.replaysTheAnswer,
  '422 needs another request': answers.reusedNeedsAnother,
  '409 needs another request': answers.inProgressNeedsAnother,
  'own data only': answers.ownDataOnly,
  'a refused key is unused': answers.refusedWritesNothing,
  'a record needs a request': answers.recordNeedsRequest,
  'final states stay': answers.statesGoForward,
  'what was made is found': answers.madeIsFound,
  'charges equal payments': money.sumsAgree,
  'a paid order has its charge': objects.paidOrderHasCharge,
  'refunds agree': money.refundsAgree,
  'stock agrees': money.stockAgrees,
  'one event': eventsOnce,
  'one receipt': effects.receiptsOnce,
  'a receipt goes to its customer': objects.receiptToCustomer,
  'one shipment': effects.fulfillmentsOnce,
  'deliveries agree': effects.deliveriesAgree,
  'nothing is stuck': nothingIsStuck,
  'recovery is in time': recoversInTime,
} satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;

/**
 * A pure function of the journals: it knows nothing of the code and calls no service.
 * @param isQuiet false: the service was still running when the journals were read. Findings that hold only at rest
 *   (`atRest`) are then left out.
 */
export function check(journals: Journals, isQuiet = true): Violation[] {
  const known = digest(journals);
  return (Object.keys(RULES) as RuleName[]).flatMap((rule) => {
    const findings: Finding[] = RULES[rule](known);
    return findings
      .filter(({ atRest }) => isQuiet || !atRest)
      .map(({ says, marker }) => ({ rule, says, marker, witness: witnessOf(known, marker) }));
  });
}
