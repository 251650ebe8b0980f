import { expect } from '@jest/globals';
import { newCharge, newKey } from '../../../refunds/refunds.support.js';
import { getCharge, send } from '../../../support/raw-client.js';
import type { Service } from '../../../support/service.js';

export type RefundObject = Record<string, unknown> & { id: string; amount: number; status: string };

/** An operator refunds in the processor's dashboard. By default the refund has no metadata. */
export async function refundInDashboard(
  service: Service,
  payment: string,
  amount?: number,
  metadata: Record<string, string> = {},
): Promise<RefundObject> {
  const form = new URLSearchParams({ payment_intent: payment });
  if (amount !== undefined) form.set('amount', String(amount));
  for (const [name, value] of Object.entries(metadata)) form.set(`metadata[${name}]`, value);
  const { status, body } = await send(`${service.sandboxUrl}/v1/refunds`, {
    method: 'POST',
    key: newKey('desk'),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  });
  expect(status).toBe(200);
  return body as unknown as RefundObject;
}

/** A charge of 12.00, with its payment. */
export async function paid({ apiUrl }: Service, method = 'pm_card_visa') {
  const id = await newCharge(apiUrl, { payment_method: method });
  const show = async () => (await getCharge(apiUrl, id)).body;
  const payment = (await show()).processor_reference as string;
  const refunded = async () => (await show()).amount_refunded as number;
  const refunds = async () =>
    (await send(`${apiUrl}/charges/${id}/refunds`)).body.data as RefundObject[];
  return { id, payment, refunded, refunds };
}

/** Lets a refund fail at the bank now. By itself, the sandbox does so later, for cards whose refunds fail. */
export async function failAtProcessor(service: Service, reference: string): Promise<RefundObject> {
  await service.db.query(
    `WITH failed AS (UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'lost_or_stolen_card'
       WHERE id = $1 RETURNING *)
     UPDATE sandbox.payment_intents AS intent SET amount_refunded = amount_refunded - failed.amount
     FROM failed WHERE intent.id = failed.payment_intent`,
    [reference],
  );
  return asTheProcessorShows(service, reference);
}

export async function asTheProcessorShows(
  { sandboxUrl }: Service,
  reference: string,
): Promise<RefundObject> {
  return (await send(`${sandboxUrl}/v1/refunds/${reference}`)).body as unknown as RefundObject;
}
