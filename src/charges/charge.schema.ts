import * as schema from '../http/description/schema.js';
import { amountSchema, currencySchema } from '../money/amounts.js';
import { EXAMPLE_CHARGE } from '../processor/processor.problems.js';
import { CHARGE_STATES, type ChargeWire } from './charge.entity.js';

const { orNull, text } = schema;

export const CHARGE = schema.wireObject<ChargeWire>(
  'Charge',
  {
    id: schema.id('ch'),
    object: schema.constant('charge'),
    amount: amountSchema,
    amount_refunded: schema.count,
    currency: currencySchema,
    status: {
      ...schema.oneOfTexts(Object.keys(CHARGE_STATES)),
      description: '`pending`: the outcome is not known yet; do not ship, do not pay again.',
    },
    payment_method: text(),
    description: orNull(text()),
    receipt_email: orNull(text()),
    order: orNull(schema.clientId),
    metadata: schema.metadata,
    failure_code: orNull(text()),
    decline_code: orNull(text('Why the processor declined.')),
    processor_reference: orNull(text('The processor’s id of the payment.')),
    created_at: schema.time,
  },
  {
    id: EXAMPLE_CHARGE.id,
    object: 'charge',
    amount: 1999,
    amount_refunded: 0,
    currency: 'usd',
    status: 'succeeded',
    payment_method: 'pm_card_visa',
    description: null,
    receipt_email: null,
    order: 'order_8472',
    metadata: {},
    failure_code: null,
    decline_code: null,
    processor_reference: 'pi_3k9d2m',
    created_at: '2026-03-01T12:00:00.000Z',
  },
);
