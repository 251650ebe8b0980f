import { EVENT_TYPES } from '../../events/event.entity.js';
import * as schema from '../../http/description/schema.js';
import type { EndpointWire } from './endpoint.entity.js';

const MEMBERS: schema.Members<EndpointWire> = {
  id: schema.id('we'),
  object: schema.constant('webhook_endpoint'),
  url: schema.text(),
  events: { type: 'array', items: schema.oneOfTexts([...EVENT_TYPES, '*']) },
  status: {
    ...schema.oneOfTexts(['enabled', 'disabled']),
    description: '`disabled`: it answered 410 and gets no more events.',
  },
  created_at: schema.time,
};

const EXAMPLE = {
  id: 'we_5a7c9e1g3i5k7m9o1q3s5u7w9a1c3e5g',
  object: 'webhook_endpoint',
  url: 'https://shop.example/hooks',
  events: ['charge.succeeded', 'order.paid'],
  status: 'enabled',
  created_at: '2026-03-01T12:00:00.000Z',
};

export const ENDPOINT = schema.wireObject('WebhookEndpoint', MEMBERS, EXAMPLE);

export const ENDPOINT_WITH_SECRET = schema.wireObject<EndpointWire & { secret: string }>(
  'WebhookEndpointWithSecret',
  {
    ...MEMBERS,
    secret: { ...schema.text('In this answer and its replays only.'), pattern: '^whsec_' },
  },
  { ...EXAMPLE, secret: 'whsec_bm90IGEgc2VjcmV0LCBvbmx5IGFuIGV4YW1wbGU=' },
);
