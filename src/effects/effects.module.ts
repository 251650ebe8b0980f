import { Module, type DynamicModule } from '@nestjs/common';
import { Fulfillments } from './fulfillments.js';
import { Mailer, type MailOptions } from './mailer.js';
import { Receipts } from './receipts.js';
import { SaleCancellation } from './sale-cancellation.js';

/** What follows from a charge, in the background process only. */
@Module({})
export class EffectsModule {
  static forRoot(mail: MailOptions): DynamicModule {
    return {
      module: EffectsModule,
      providers: [
        { provide: Mailer, useFactory: () => new Mailer(mail) },
        Receipts,
        Fulfillments,
        SaleCancellation,
      ],
    };
  }
}
