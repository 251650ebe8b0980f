import * as schema from '../../http/description/schema.js';
import type { DeliveryWire } from './delivery.entity.js';

export const DELIVERY = schema.wireObject<DeliveryWire>(
  'Delivery',
  {
    id: schema.text(),
    object: schema.constant('delivery'),
    endpoint: schema.id('we'),
    event: schema.id('evt'),
    status: schema.oneOfTexts(['pending', 'succeeded', 'failed']),
    attempts: schema.count,
    response_status: { type: ['integer', 'null'], description: 'Of the newest attempt.' },
    error: schema.orNull(schema.text('Of the newest attempt.')),
    next_attempt_at: {
      ...schema.orNull(schema.time),
      description:
        'Null at the end. During an attempt: when the next one follows if the outcome of this one is lost.',
    },
    created_at: schema.time,
  },
  {
    id: 'wd_6b8d0f2h4j6l8n0p2r4t6v8a0c2e4g6i',
    object: 'delivery',
    endpoint: 'we_5a7c9e1g3i5k7m9o1q3s5u7w9a1c3e5g',
    event: 'evt_1c3e5g7i9k0m2o4q6s8u1w0b2d4f6h8j',
    status: 'succeeded',
    attempts: 1,
    response_status: 204,
    error: null,
    next_attempt_at: null,
    created_at: '2026-03-01T12:00:00.000Z',
  },
);
