import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import type { Request } from 'express';
import { RawBody } from '../../platform/body.guard.js';
import { validationFailed } from '../../platform/problem.js';
import { Public } from '../../platform/public.js';
import { Processor } from '../../processor/processor.js';
import { ProcessorNotifications } from './processor-notifications.js';

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
    const signature = request.headers['stripe-signature'];
    const verified = this.processor.readNotification(
      request.body as Buffer,
      String(signature ?? ''),
    );
    if (verified === 'forged') {
      throw validationFailed([
        {
          pointer: '/Stripe-Signature',
          detail: 'does not sign this body, or is older than five minutes',
        },
      ]);
    }
    // Other people's events are acknowledged and dropped: a Stripe account may be shared.
    if (verified !== 'not ours') await this.notifications.receive(verified);
    return { received: true };
  }
}
