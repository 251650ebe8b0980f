import type { ResourceLink } from '../idempotency/errors.js';
import { Problem } from '../http/problems/problem.js';

/** A refund cannot begin before that has ended. */
export function refundWaitsFor(resource: ResourceLink, detail: string): Problem {
  return new Problem('payment_pending', detail, {
    extensions: { resource },
    headers: { 'Retry-After': '1' },
  });
}
