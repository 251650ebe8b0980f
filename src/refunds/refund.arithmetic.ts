/** The amounts of a charge, in minor units. */
export interface Refundable {
  amount: number;
  /** Sum of the succeeded refunds. */
  refunded: number;
  /** Sum of the refunds in flight. */
  pending: number;
}

/**
 * How much a refund may give back.
 *
 * @param wanted in minor units; undefined means all that is left.
 * @returns the amount, or why there is none. `exceeds` is final; `pending` is not, because a refund in flight may fail.
 */
export function refundAmount(
  { amount, refunded, pending }: Refundable,
  wanted: number | undefined,
): number | 'exceeds' | 'pending' {
  const left = amount - refunded;
  if (left === 0 || (wanted ?? 0) > left) return 'exceeds';
  // How much is left is known only when the refunds in flight have ended.
  if (wanted === undefined) return pending > 0 ? 'pending' : left;
  return wanted > left - pending ? 'pending' : wanted;
}
