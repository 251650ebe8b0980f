/** A charge's money, in minor units. */
export interface Refundable {
  amount: number;
  /** Given back already. */
  refunded: number;
  /** Reserved by refunds that have not ended. */
  pending: number;
}

/**
 * How much a refund may take, given what has gone back and what is on its way.
 *
 * @param wanted in minor units; undefined means all that is left.
 * @returns the amount, or why there is none: `exceeds` can never change, `pending` may (a refund on its way may fail).
 */
export function refundAmount(
  { amount, refunded, pending }: Refundable,
  wanted: number | undefined,
): number | 'exceeds' | 'pending' {
  const left = amount - refunded;
  if (left === 0 || (wanted ?? 0) > left) return 'exceeds';
  // All that is left is not known before those on their way have ended.
  if (wanted === undefined) return pending > 0 ? 'pending' : left;
  return wanted > left - pending ? 'pending' : wanted;
}
