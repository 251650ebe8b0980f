import type { ChargeWire } from '../charges/charge.entity.js';
import { EVENT_TYPES, type EventWire } from '../events/event.entity.js';
import { CHARGE_STATES } from '../charges/charge.states.js';
import type { OrderWire } from '../orders/order.entity.js';
import { MAX_AMOUNT } from '../money/amounts.js';
import { MAX_QUANTITY } from '../orders/order.dto.js';
import { REFUND_STATES, type RefundWire } from '../refunds/refund.entity.js';
import type { ProductWire } from '../stock/product.entity.js';
import type { DeliveryWire } from '../webhooks/outgoing/delivery.entity.js';
import type { EndpointWire } from '../webhooks/outgoing/endpoint.entity.js';
import {
  clientId,
  count,
  exactly,
  id,
  metadata,
  oneOfTexts,
  orNull,
  ref,
  text,
  time,
  type Schema,
} from './schema.js';

/** One schema for each member of an answer: a member more or less does not compile. */
type Members<Wire> = Record<keyof Wire, Schema>;

const amount: Schema = { type: 'integer', minimum: 1, maximum: MAX_AMOUNT };
const currency: Schema = { type: 'string', pattern: '^[a-z]{3}$' };
const constant = (value: string): Schema => ({ type: 'string', const: value });

const charge: Members<ChargeWire> = {
  id: id('ch'),
  object: constant('charge'),
  amount,
  amount_refunded: count,
  currency,
  status: {
    ...oneOfTexts(Object.keys(CHARGE_STATES)),
    description: '`pending`: the outcome is not known yet; do not ship, do not pay again.',
  },
  payment_method: text(),
  description: orNull(text()),
  receipt_email: orNull(text()),
  order: orNull(clientId),
  metadata,
  failure_code: orNull(text()),
  decline_code: orNull(text('Why the processor declined.')),
  processor_reference: orNull(text('What the processor calls the payment.')),
  created_at: time,
};

const refund: Members<RefundWire> = {
  id: id('re'),
  object: constant('refund'),
  charge: id('ch'),
  amount,
  currency,
  status: oneOfTexts(Object.keys(REFUND_STATES)),
  reason: orNull(text()),
  failure_code: orNull(text()),
  processor_reference: orNull(text()),
  created_at: time,
};

const order: Members<OrderWire> = {
  id: clientId,
  object: constant('order'),
  status: oneOfTexts(['open', 'paid', 'canceled']),
  currency,
  total: amount,
  items: {
    type: 'array',
    minItems: 1,
    maxItems: 100,
    items: exactly({
      sku: clientId,
      quantity: { type: 'integer', minimum: 1, maximum: MAX_QUANTITY },
      unit_amount: { type: 'integer', minimum: 0, maximum: MAX_AMOUNT },
    }),
  },
  email: orNull(text()),
  charge: { ...orNull(id('ch')), description: 'The pending charge, or the one that paid.' },
  fulfillment: orNull(text()),
  metadata,
  version: { type: 'integer', minimum: 1 },
  created_at: time,
  updated_at: time,
};

const product: Members<ProductWire> = {
  sku: clientId,
  object: constant('product'),
  name: text(),
  on_hand: count,
  held: { ...count, description: 'Promised to charges that have not ended.' },
  version: { type: 'integer', minimum: 1 },
};

const event: Members<EventWire> = {
  id: id('evt'),
  object: constant('event'),
  type: oneOfTexts(EVENT_TYPES),
  data: {
    ...exactly({ object: { type: 'object' } }),
    description: 'The object as the API would have shown it when it happened.',
  },
  created_at: time,
};

const endpoint: Members<EndpointWire> = {
  id: id('we'),
  object: constant('webhook_endpoint'),
  url: text(),
  events: { type: 'array', items: oneOfTexts([...EVENT_TYPES, '*']) },
  status: {
    ...oneOfTexts(['enabled', 'disabled']),
    description: '`disabled`: it answered 410 and wants no more.',
  },
  created_at: time,
};

const delivery: Members<DeliveryWire> = {
  id: text(),
  object: constant('delivery'),
  endpoint: id('we'),
  event: id('evt'),
  status: oneOfTexts(['pending', 'succeeded', 'failed']),
  attempts: count,
  response_status: { type: ['integer', 'null'], description: 'Of the newest attempt.' },
  error: orNull(text('Of the newest attempt.')),
  next_attempt_at: {
    ...orNull(time),
    description:
      'Null at the end. While an attempt is under way: when the next one follows if its outcome is lost.',
  },
  created_at: time,
};

/** Schemas of what the API answers with. */
export const OBJECTS: Record<string, Schema> = {
  Charge: exactly(charge),
  Refund: exactly(refund),
  Order: exactly(order),
  Product: exactly(product),
  Event: exactly(event),
  WebhookEndpoint: exactly(endpoint),
  WebhookEndpointWithSecret: exactly({
    ...endpoint,
    secret: {
      ...text('In this answer and its replays only.'),
      pattern: '^whsec_',
    },
  }),
  Delivery: exactly(delivery),
  ResourceLink: exactly({
    object: text(),
    id: text(),
    url: { type: 'string', pattern: '^/' },
  }),
  IdempotencyKey: exactly({
    key: text(),
    operation: { ...text('A method and a route template.'), examples: ['POST /charges'] },
    state: {
      ...oneOfTexts(['in_progress', 'completed', 'expired']),
      description: '`expired`: the answer is gone, the object stands.',
    },
    status: {
      type: ['integer', 'null'],
      description: 'The stored HTTP status. Null while it runs and after it has expired.',
    },
    resource: {
      anyOf: [ref('ResourceLink'), { type: 'null' }],
      description: 'What the key made.',
    },
    attempts: { type: ['integer', 'null'], description: 'Executions. Replays do not count.' },
    needs_attention: {
      type: ['boolean', 'null'],
      description:
        'True when recovery has stopped after too many failures of our own. A person must look; the same request with the same key still makes one attempt. Null after it has expired.',
    },
    first_seen_at: orNull(time),
    completed_at: orNull(time),
    expires_at: orNull(time),
  }),
  Health: exactly({ status: constant('ok') }),
  NaiveCharge: exactly({
    id: id('ch'),
    object: constant('naive_charge'),
    amount,
    currency,
    status: constant('succeeded'),
    payment_method: text(),
    processor_reference: text(),
    created_at: time,
  }),
  Links: { type: 'object', additionalProperties: { type: 'string', pattern: '^/' } },
  Ledger: exactly({
    merchant: exactly({ charges: count, amount: count }),
    naive: exactly({ charges: count, amount: count }),
    processor: exactly({ payments: count, amount: count }),
    difference: { type: 'integer' },
  }),
};

/** A page of a list, newest first. */
export function listOf(component: string): Schema {
  return exactly({
    object: constant('list'),
    data: { type: 'array', items: ref(component), maxItems: 100 },
    has_more: { type: 'boolean' },
    url: { type: 'string', pattern: '^/' },
  });
}
