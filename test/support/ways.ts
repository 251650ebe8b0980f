import type { ProbePoint } from '../../src/idempotency/operation.js';
import { send } from './raw-client.js';

/**
 * The two ways in which a charge is written. A charge that pays an order needs several statements for each beat, in a
 * transaction. Any other needs one statement, which commits itself. The guarantees are tested for both.
 */
export const WAYS = ['one statement', 'a transaction'] as const;
export type Way = (typeof WAYS)[number];

/** Points inside a transaction. A single statement has none: it is sent or not. */
export const IN_A_TRANSACTION = ['record-written', 'reserve-written', 'settle-written'] as const;

/** The ways that pass this point. */
export function waysPast(point: ProbePoint): readonly Way[] {
  return (IN_A_TRANSACTION as readonly ProbePoint[]).includes(point) ? ['a transaction'] : WAYS;
}

/**
 * Makes what a charge that is written in this way needs.
 * @returns the body members that `charge` must send.
 */
export async function chargeOf(
  way: Way,
  apiUrl: string,
  key: string,
): Promise<Record<string, unknown>> {
  if (way === 'one statement') return {};
  const order = key.replaceAll(/\W/g, '-');
  const items = [{ sku: 'tea', quantity: 1, unit_amount: 1200 }];
  const put = { method: 'PUT', body: { currency: 'eur', items } } as const;
  const { status, text } = await send(`${apiUrl}/orders/${order}`, put);
  if (status !== 201) throw new Error(`the order of ${key} is not new: ${text}`);
  return { order };
}
