import * as schema from '../http/description/schema.js';
import { amountSchema, currencySchema, MAX_AMOUNT } from '../money/amounts.js';
import { MAX_ITEMS, MAX_QUANTITY } from './order.dto.js';
import { ORDER_STATES, type OrderWire } from './order.entity.js';

const { orNull, text } = schema;

export const ORDER = schema.wireObject<OrderWire>(
  'Order',
  {
    id: schema.clientId,
    object: schema.constant('order'),
    status: schema.oneOfTexts(Object.keys(ORDER_STATES)),
    currency: currencySchema,
    total: amountSchema,
    items: {
      type: 'array',
      minItems: 1,
      maxItems: MAX_ITEMS,
      items: schema.exactly({
        sku: schema.clientId,
        quantity: { type: 'integer', minimum: 1, maximum: MAX_QUANTITY },
        unit_amount: { type: 'integer', minimum: 0, maximum: MAX_AMOUNT },
      }),
    },
    email: orNull(text()),
    charge: {
      ...orNull(schema.id('ch')),
      description: 'The pending charge that holds the order, or the one that paid it.',
    },
    fulfillment: orNull(text()),
    metadata: schema.metadata,
    version: { type: 'integer', minimum: 1 },
    created_at: schema.time,
    updated_at: schema.time,
  },
  {
    id: 'order_8472',
    object: 'order',
    status: 'open',
    currency: 'usd',
    total: 1999,
    items: [{ sku: 'mug', quantity: 1, unit_amount: 1999 }],
    email: 'customer@example.com',
    charge: null,
    fulfillment: null,
    metadata: {},
    version: 1,
    created_at: '2026-03-01T11:59:00.000Z',
    updated_at: '2026-03-01T11:59:00.000Z',
  },
);
