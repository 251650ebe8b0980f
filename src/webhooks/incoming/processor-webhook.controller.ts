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
      'For the processor, not for clients. Each event id is applied once, in any order; the signature over the raw bytes is the credential, and without `PROCESSOR_WEBHOOK_SECRET` nobody is believed. What is about a charge or refund that is not there yet is kept for 30 days and applied when it appears; a refund that was made at the processor’s own desk is found by its payment and booked, and one that fails after it had succeeded becomes `failed` (the processor is asked where that takes it, and sends a notification again that was answered with 503; or with 409, while it may be about a refund of ours that is pending, whose metadata were edited at that desk); what is about no account of ours is acknowledged and dropped; what contradicts our books (another amount, a second payment, a success after a failure), or could not be applied in those 30 days, is parked for a person to look at, and counted in `charge_once_parked_payments` until that person resolves it.',
    rawBody: 'An event as Stripe sends it, up to 1 MiB.',
  })
  @Reads({
    name: 'Stripe-Signature',
    in: 'header',
    required: true,
    description: 'Of the processor, not older than five minutes.',
    schema: { type: 'string' },
  })
  @Answers(200, 'Received; also when it is not about us.', RECEIVED)
  @Problems(PAYMENT_PENDING, PROCESSOR_UNAVAILABLE, DATABASE_UNAVAILABLE)
  async receive(@Req() request: Request): Promise<{ received: true }> {
    // Without a body there are no bytes either.
    const raw = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const signature = request.headers['stripe-signature'];
    const read = this.processor.readNotification(raw, String(signature ?? ''));
    if (typeof read === 'object') await this.notifications.receive(read);
    else refuseUnlessIrrelevant(read);
    return { received: true };
  }
}

/** The processor sends a refused notification again, and shows the failure on its page of the endpoint. */
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
