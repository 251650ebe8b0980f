import * as schema from '../http/description/schema.js';
import { amountSchema, currencySchema } from '../money/amounts.js';
import { EXAMPLE_CHARGE } from '../processor/processor.problems.js';
import { REFUND_STATES, type RefundWire } from './refund.entity.js';

const { orNull, text } = schema;

export const REFUND = schema.wireObject<RefundWire>(
  'Refund',
  {
    id: schema.id('re'),
    object: schema.constant('refund'),
    charge: schema.id('ch'),
    amount: amountSchema,
    currency: currencySchema,
    status: schema.oneOfTexts(Object.keys(REFUND_STATES)),
    reason: orNull(text()),
    failure_code: orNull(text()),
    processor_reference: orNull(text()),
    created_at: schema.time,
  },
  {
    id: 're_2b4d6f8h0j1l3n5p7r9t1v0a2c4e6g8i',
    object: 'refund',
    charge: EXAMPLE_CHARGE.id,
    amount: 500,
    currency: 'usd',
    status: 'succeeded',
    reason: 'damaged on the way',
    failure_code: null,
    processor_reference: 're_3k9d2m',
    created_at: '2026-03-02T12:00:00.000Z',
  },
);
