import { ListEvents } from '../../events/event.dto.js';
import { ListQuery } from '../../http/input/list.js';
import { CreateEndpoint, NoMembers } from '../../webhooks/outgoing/endpoint.dto.js';
import { EXAMPLES, listExample } from '../examples.js';
import { listOf } from '../objects.js';
import type { Route, Routes } from '../route.js';
import { exactly, ref } from '../schema.js';

const SECRET = { ...EXAMPLES.endpoint, secret: 'whsec_bm90IGEgc2VjcmV0LCBvbmx5IGFuIGV4YW1wbGU=' };
const nothing: Route['body'] = { dto: NoMembers, optional: true, examples: { nothing: {} } };

export const EVENT_ROUTES: Routes = {
  'GET /events': {
    tag: 'Events',
    id: 'listEvents',
    summary: 'List what has happened, newest first',
    query: ListEvents,
    successes: {
      200: {
        description: 'A page.',
        schema: listOf('Event'),
        example: listExample(EXAMPLES.event, '/events'),
      },
    },
  },
  'GET /events/{id}': {
    tag: 'Events',
    id: 'getEvent',
    summary: 'Look at an event',
    path: { id: 'The event’s id; `webhook-id` of its deliveries.' },
    successes: {
      200: { description: 'The event.', schema: ref('Event'), example: EXAMPLES.event },
    },
    problems: ['not_found'],
  },
  'POST /events/{id}/resend': {
    tag: 'Events',
    id: 'resendEvent',
    summary: 'Deliver an event again, once for each key',
    description: 'To every endpoint that wants it, under the same `webhook-id`.',
    keyed: true,
    path: { id: 'The event’s id.' },
    body: nothing,
    successes: {
      200: {
        description: 'It is on its way again.',
        schema: ref('Event'),
        example: EXAMPLES.event,
      },
    },
    problems: ['not_found'],
  },
  'POST /webhook-endpoints': {
    tag: 'Events',
    id: 'createWebhookEndpoint',
    summary: 'Have events delivered',
    description:
      'Deliveries follow Standard Webhooks: `webhook-id` (the event’s id, the same on every try: apply each id once), `webhook-timestamp`, `webhook-signature`. They come at least once and in any order.',
    keyed: true,
    body: {
      dto: CreateEndpoint,
      examples: { endpoint: { url: 'https://shop.example/hooks', events: ['order.paid'] } },
    },
    successes: {
      201: {
        description: 'Keep the secret: it is shown in this answer and its replays only.',
        schema: ref('WebhookEndpointWithSecret'),
        example: SECRET,
        headers: ['Location'],
      },
    },
  },
  'POST /webhook-endpoints/{id}/rotate-secret': {
    tag: 'Events',
    id: 'rotateWebhookSecret',
    summary: 'Make a new secret, once for each key',
    description: 'For a day the old one signs as well.',
    keyed: true,
    path: { id: 'The endpoint’s id.' },
    body: nothing,
    successes: {
      200: {
        description: 'The new secret, in this answer and its replays only.',
        schema: ref('WebhookEndpointWithSecret'),
        example: SECRET,
      },
    },
    problems: ['not_found'],
  },
  'GET /webhook-endpoints': {
    tag: 'Events',
    id: 'listWebhookEndpoints',
    summary: 'List the endpoints, newest first',
    query: ListQuery,
    successes: {
      200: {
        description: 'A page.',
        schema: listOf('WebhookEndpoint'),
        example: listExample(EXAMPLES.endpoint, '/webhook-endpoints'),
      },
    },
  },
  'GET /webhook-endpoints/{id}': {
    tag: 'Events',
    id: 'getWebhookEndpoint',
    summary: 'Look at an endpoint',
    path: { id: 'The endpoint’s id.' },
    successes: {
      200: {
        description: 'The endpoint.',
        schema: ref('WebhookEndpoint'),
        example: EXAMPLES.endpoint,
      },
    },
    problems: ['not_found'],
  },
  'DELETE /webhook-endpoints/{id}': {
    tag: 'Events',
    id: 'deleteWebhookEndpoint',
    summary: 'Have no more events delivered',
    description:
      'Its secrets end at once, and what was still to be delivered to it fails. Again is 204 as well.',
    path: { id: 'The endpoint’s id.' },
    successes: { 204: { description: 'It is gone.' } },
    problems: ['not_found'],
  },
  'GET /webhook-endpoints/{id}/deliveries': {
    tag: 'Events',
    id: 'listDeliveries',
    summary: 'List what was delivered to an endpoint, newest first',
    path: { id: 'The endpoint’s id.' },
    query: ListQuery,
    successes: {
      200: {
        description: 'A page.',
        schema: listOf('Delivery'),
        example: listExample(
          EXAMPLES.delivery,
          `/webhook-endpoints/${EXAMPLES.endpoint.id}/deliveries`,
        ),
      },
    },
    problems: ['not_found'],
  },
  'POST /webhooks/processor': {
    tag: 'Events',
    id: 'receiveProcessorNotification',
    summary: 'The processor’s notifications',
    description:
      'For the processor, not for clients. Each event id is applied once, in any order; the signature over the raw bytes is the credential, and without `PROCESSOR_WEBHOOK_SECRET` nobody is believed. What is about a charge or refund that is not there yet is kept for 30 days and applied when it appears; a refund that was made at the processor’s own desk is found by its payment and booked, and one that fails after it had succeeded becomes `failed` (the processor is asked where that takes it, and sends a notification again that was answered with 503; or with 409, while it may be about a refund of ours that is pending, whose metadata were edited at that desk); what is about no account of ours is acknowledged and dropped; what contradicts our books (another amount, a second payment, a success after a failure), or could not be applied in those 30 days, is parked for a person to look at, and counted in `charge_once_parked_payments` until that person resolves it.',
    public: true,
    rawBody: {
      description: 'An event as Stripe sends it, up to 1 MiB.',
      schema: { type: 'object' },
      headers: [
        {
          name: 'Stripe-Signature',
          in: 'header',
          required: true,
          description: 'Of the processor, not older than five minutes.',
          schema: { type: 'string' },
        },
      ],
    },
    successes: {
      200: {
        description: 'Received; also when it is not about us.',
        schema: exactly({ received: { type: 'boolean', const: true } }),
        example: { received: true },
      },
    },
    problems: [
      'validation_failed',
      'payment_pending',
      'processor_unavailable',
      'database_unavailable',
    ],
  },
};
