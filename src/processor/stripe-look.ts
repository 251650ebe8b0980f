import type Stripe from 'stripe';
import type { Payment } from './processor.js';
import { requiresAuthentication } from './stripe-answers.js';
import { paymentOf } from './stripe-ledger.js';
import { endUnauthenticated } from './unauthenticated.js';

/**
 * Reads the ledger page by page until it finds the charge's payment, or to the end.
 * @param step runs one call within its own deadline, in which the SDK retries a page that fails. A later lookup
 *   starts again at the first page.
 */
export async function lookInLedger(
  intents: Stripe['paymentIntents'],
  chargeId: string,
  created: Stripe.RangeQueryParam,
  step: <T>(run: () => Promise<T>) => Promise<T>,
): Promise<Payment | undefined> {
  const found: Payment[] = [];
  let last: string | undefined;
  do {
    const after = last === undefined ? {} : { starting_after: last };
    const page = await step(() => intents.list({ created, limit: 100, ...after }));
    for (const payment of page.data.map(paymentOf)) {
      if (payment.charge !== chargeId) continue;
      if (payment.answer.kind === 'succeeded') return payment; // money was taken, so no other intent matters
      found.push(payment);
    }
    last = page.has_more ? page.data.at(-1)?.id : undefined;
  } while (last !== undefined);
  for (const payment of found) {
    if (payment.answer.kind !== 'unknown') continue;
    payment.answer = await step(async () => {
      const intent = await intents.retrieve(payment.reference);
      return requiresAuthentication(intent)
        ? endUnauthenticated(intents, intent.id)
        : payment.answer;
    });
  }
  // An intent that has not ended may still succeed, so it takes precedence over one that ended without success.
  const having = (kind: string) => found.find(({ answer }) => answer.kind === kind);
  return having('succeeded') ?? having('unknown') ?? found[0];
}
