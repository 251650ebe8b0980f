import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import type { Request } from 'express';
import { Answers, Describe, Problems, Reads, Tagged } from '../../http/description/route.js';
import { exactly } from '../../http/description/schema.js';
import { RawBody } from '../../http/input/body.guard.js';
import { Problem, validationFailed } from '../../http/problems/problem.js';
import { Public } from '../../http/public.js';
import { Processor, type NoNotification } from '../../processor/processor.js';
import { ProcessorNotifications } from './processor-notifications.js';
import { MALFORMED_JSON } from '../../http/problems/http.problems.js';
import { DATABASE_UNAVAILABLE } from '../../idempotency/problem-types.js';
import { PAYMENT_PENDING, PROCESSOR_UNAVAILABLE } from '../../processor/processor.problems.js';

const RECEIVED = {
  schema: exactly({ received: { type: 'boolean', const: true } }),
  example: { received: true },
};

/** The processor's notifications. Its signature over the raw bytes is its credential. */
@Public()
@Tagged('Events')
@Controller('webhooks/processor')
export class ProcessorWebhookController {
  constructor(
    private readonly processor: Processor,
    private readonly notifications: ProcessorNotifications,
  ) {}

  @Post()
  @HttpCode(200)
  @RawBody()
  @Describe('receiveProcessorNotification', 'The processor’s notifications', {
    description:
      'For the processor, not for clients. The signature over the raw bytes is the credential; without `PROCESSOR_WEBHOOK_SECRET` every notification is refused. Each event id is applied once, in any order.\n\n- If the charge or refund does not exist yet, the notification is kept for 30 days and applied when the object appears.\n- A refund that was made in the processor’s own dashboard is found by its payment and booked.\n- A refund that fails after it had succeeded becomes `failed`.\n- A notification that is about no account of ours is acknowledged and dropped.\n- It is parked if it contradicts our books (another amount, a second payment, a success after a failure), or if it could not be applied in 30 days. `charge_once_parked_payments` counts it until an operator resolves it.\n\nThe processor sends a notification again after 503 (the processor had to be asked and did not answer) and after 409 (it may be about one of our pending refunds, whose metadata was edited in the processor’s dashboard).',
    rawBody: 'An event as Stripe sends it, up to 1 MiB.',
  })
  @Reads({
    name: 'Stripe-Signature',
    in: 'header',
    required: true,
    description: 'Written by the processor, at most five minutes ago.',
    schema: { type: 'string' },
  })
  @Answers(200, 'Received, also if it is about no account of ours.', RECEIVED)
  @Problems(PAYMENT_PENDING, PROCESSOR_UNAVAILABLE, DATABASE_UNAVAILABLE)
  async receive(@Req() request: Request): Promise<{ received: true }> {
    // Without a body, `request.body` is not a Buffer.
    const raw = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const signature = request.headers['stripe-signature'];
    const read = this.processor.readNotification(raw, String(signature ?? ''));
    if (typeof read === 'object') await this.notifications.receive(read);
    else refuseUnlessIrrelevant(read);
    return { received: true };
  }
}

/** The processor sends a refused notification again, and shows the failure in its dashboard. */
function refuseUnlessIrrelevant(read: NoNotification): void {
  switch (read) {
    case 'no secret':
      throw badSignature('cannot be checked: PROCESSOR_WEBHOOK_SECRET is not set here');
    case 'forged':
      throw badSignature('does not sign this body, or is older than five minutes');
    case 'not JSON':
      throw new Problem(MALFORMED_JSON, 'The body cannot be read: it is not JSON in UTF-8.');
    case 'not an event':
      throw validationFailed([
        { pointer: '', detail: 'is not an event as the processor sends it' },
      ]);
    case 'irrelevant':
      return; // acknowledged and dropped: a Stripe account may be shared
  }
}

function badSignature(detail: string): Problem {
  return validationFailed([{ pointer: '/Stripe-Signature', detail }]);
}
