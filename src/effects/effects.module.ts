import { Module } from '@nestjs/common';
import { EventsModule } from '../events/events.module.js';
import { JobsModule } from '../jobs/jobs.module.js';
import { RefundsModule } from '../refunds/refunds.module.js';
import { Fulfillments } from './fulfillments.js';
import { Mailer } from './mailer.js';
import { Receipts } from './receipts.js';
import { SaleCancellation } from './sale-cancellation.js';

/** What follows from a charge, in the worker only. */
@Module({
  imports: [EventsModule, JobsModule, RefundsModule],
  providers: [Mailer, Receipts, Fulfillments, SaleCancellation],
})
export class EffectsWorkerModule {}
