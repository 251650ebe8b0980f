import type { ResourceLink } from '../idempotency/errors.js';
import type { Performed } from '../idempotency/operation.js';
import { Problem } from '../platform/problem.js';
import type { ProcessorAnswer } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import type { RefundEnd } from './refund.queries.js';

/** The refund has not ended by that answer: what a client that waits is told. */
export function stillOpen(refund: Refund, answer: ProcessorAnswer): Performed<RefundEnd> {
  return {
    ended: false,
    inDoubt: answer.kind === 'unknown',
    error: (inDoubt, retryAfterSeconds) =>
      new Problem(
        inDoubt ? 'processor_outcome_unknown' : 'processor_unavailable',
        inDoubt
          ? 'The processor has given no final answer. The refund is pending; the money may be on its way.'
          : 'The processor was not reached. The refund is pending; nothing has gone back so far.',
        {
          extensions: { refund: refund.id, charge: refund.charge_id },
          headers: { 'Retry-After': String(retryAfterSeconds) },
        },
      ),
  };
}

/** A refund cannot begin before that has ended. */
export function refundWaitsFor(resource: ResourceLink, detail: string): Problem {
  return new Problem('payment_pending', detail, {
    extensions: { resource },
    headers: { 'Retry-After': '1' },
  });
}
