/**
 * The steps of a shipment. Each is one compare-and-set: after a crash, or with two workers in parallel, it continues
 * from the row's step.
 *
 * | step | moved on by | after a crash |
 * |---|---|---|
 * | `picking` | the job `advance-fulfillment`: orders a label, under a name derived from the order | stays; the job repeats it |
 * | `labelled` | the same job: hands the parcel over | stays; the job repeats it |
 * | `handed_over` | final | stays |
 */
export const FULFILLMENT_STEPS = {
  picking: 'labelled',
  labelled: 'handed_over',
  handed_over: null,
} as const;

export type FulfillmentStep = keyof typeof FULFILLMENT_STEPS;

/** A row of `fulfillments`. */
export interface Fulfillment {
  account_id: string;
  id: string;
  order_id: string;
  charge_id: string;
  step: FulfillmentStep;
  tracking_number: string | null;
  created_at: Date;
}

export function fulfillmentToWire({
  id,
  order_id,
  charge_id,
  step,
  tracking_number,
  created_at,
}: Fulfillment) {
  return {
    id,
    object: 'fulfillment',
    order: order_id,
    charge: charge_id,
    status: step,
    tracking_number,
    created_at: created_at.toISOString(),
  };
}
