import type Stripe from 'stripe';
import type { Payment } from './processor.js';
import { asksForAuthentication } from './stripe-answers.js';
import { paymentOf } from './stripe-ledger.js';
import { endUnauthenticated } from './unauthenticated.js';

/**
 * Reads the ledger page by page until it finds the charge's payment, or to its end.
 * @param step runs one call within a deadline of its own. The SDK repeats a page that fails, within that deadline: the next
 *   look begins at the first page.
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
      if (payment.answer.kind === 'succeeded') return payment; // money counts, whatever else was tried
      found.push(payment);
    }
    last = page.has_more ? page.data.at(-1)?.id : undefined;
  } while (last !== undefined);
  for (const payment of found) {
    if (payment.answer.kind !== 'unknown') continue;
    payment.answer = await step(async () => {
      const intent = await intents.retrieve(payment.reference);
      return asksForAuthentication(intent)
        ? endUnauthenticated(intents, intent.id)
        : payment.answer;
    });
  }
  // One that has not ended may still succeed: it counts more than one that has ended without.
  const kinds = ['succeeded', 'unknown'] as const;
  const [first] = kinds.flatMap((kind) => found.filter(({ answer }) => answer.kind === kind));
  return first ?? found[0];
}
