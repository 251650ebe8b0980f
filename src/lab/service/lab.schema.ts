import * as schema from '../../http/description/schema.js';
import { amountSchema, currencySchema } from '../../money/amounts.js';
import type { NaiveCharges } from './naive-charges.js';

const { count, exactly } = schema;

export const NAIVE_CHARGE = schema.wireObject<Awaited<ReturnType<NaiveCharges['charge']>>>(
  'NaiveCharge',
  {
    id: schema.id('ch'),
    object: schema.constant('naive_charge'),
    amount: amountSchema,
    currency: currencySchema,
    status: schema.constant('succeeded'),
    payment_method: schema.text(),
    processor_reference: schema.text(),
    created_at: schema.time,
  },
  {
    id: 'ch_7f2k9s4m1n8r3t6u0v5a',
    object: 'naive_charge',
    amount: 1999,
    currency: 'usd',
    status: 'succeeded',
    payment_method: 'pm_card_visa',
    processor_reference: 'pi_7f2k9s',
    created_at: '2026-03-01T12:00:00.000Z',
  },
);

export const LEDGER = schema.wireObject(
  'Ledger',
  {
    merchant: exactly({ charges: count, amount: count }),
    naive: exactly({ charges: count, amount: count }),
    processor: exactly({ payments: count, amount: count }),
    difference: { type: 'integer' },
  },
  {
    merchant: { charges: 1, amount: 1999 },
    naive: { charges: 1, amount: 1999 },
    processor: { payments: 3, amount: 5997 },
    difference: 1999,
  },
);
