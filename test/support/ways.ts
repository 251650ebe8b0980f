import type { ProbePoint } from '../../src/idempotency/operation.js';
import { send } from './raw-client.js';

/**
 * The two ways in which a charge is written. One that pays an order takes several statements for each beat, in a
 * transaction; any other takes one, which is a transaction of its own. What is promised of a charge is tested of both.
 */
export const WAYS = ['one statement', 'a transaction'] as const;
export type Way = (typeof WAYS)[number];

/** Only a transaction has something between its beginning and its end: one statement is sent, or it is not. */
export const IN_A_TRANSACTION = ['record-written', 'reserve-written', 'settle-written'] as const;

/** The ways that pass a point. */
export function waysPast(point: ProbePoint): readonly Way[] {
  return (IN_A_TRANSACTION as readonly ProbePoint[]).includes(point) ? ['a transaction'] : WAYS;
}

/**
 * Makes what a charge needs that is to be written in this way.
 * @returns what `charge` is to send besides.
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
