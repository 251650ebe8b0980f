import * as schema from '../http/description/schema.js';
import { EVENT_TYPES, type EventWire } from './event.entity.js';

export const EVENT = schema.wireObject<EventWire>(
  'Event',
  {
    id: schema.id('evt'),
    object: schema.constant('event'),
    type: schema.oneOfTexts(EVENT_TYPES),
    data: {
      ...schema.exactly({ object: { type: 'object' } }),
      description: 'The object as the API showed it when the event happened.',
    },
    created_at: schema.time,
  },
  {
    id: 'evt_1c3e5g7i9k0m2o4q6s8u1w0b2d4f6h8j',
    object: 'event',
    type: 'order.canceled',
    data: { object: { id: 'order_8472', object: 'order', status: 'canceled' } },
    created_at: '2026-03-01T12:00:00.000Z',
  },
);
