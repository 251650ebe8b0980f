import { Module, type DynamicModule } from '@nestjs/common';
import { ABANDON_LIMITS } from '../charges/charge.operation.js';
import type { AbandonLimits } from '../charges/abandon.js';
import { Compensation } from './compensation.js';
import { RefundOperation } from './refund.operation.js';

@Module({})
export class RefundsModule {
  static forRoot(abandonLimits: AbandonLimits): DynamicModule {
    return {
      module: RefundsModule,
      global: true, // the saga of the effects gives money back as well
      providers: [
        RefundOperation,
        Compensation,
        { provide: ABANDON_LIMITS, useValue: abandonLimits },
      ],
      exports: [RefundOperation, Compensation],
    };
  }
}
