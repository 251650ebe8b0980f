import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import type { Request } from 'express';
import { RawBody } from '../../http/input/body.guard.js';
import { Problem, validationFailed } from '../../http/problems/problem.js';
import { Public } from '../../http/public.js';
import { Processor, type NoNotification } from '../../processor/processor.js';
import { ProcessorNotifications } from './processor-notifications.js';
import { MALFORMED_JSON } from '../../http/problems/http.problems.js';

/** The processor's notifications. Its signature over the raw bytes is its credential. */
@Public()
@Controller('webhooks/processor')
export class ProcessorWebhookController {
  constructor(
    private readonly processor: Processor,
    private readonly notifications: ProcessorNotifications,
  ) {}

  @Post()
  @HttpCode(200)
  @RawBody()
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

/** What is refused is sent again, and shown to whoever looks at the endpoint there. */
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
