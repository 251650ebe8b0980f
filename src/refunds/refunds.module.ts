import { Module, type DynamicModule } from '@nestjs/common';
import { GIVING_UP } from '../charges/charge.operation.js';
import type { GivingUp } from '../charges/give-up.js';
import { Compensation } from './compensation.js';
import { RefundOperation } from './refund.operation.js';

@Module({})
export class RefundsModule {
  static forRoot(givingUp: GivingUp): DynamicModule {
    return {
      module: RefundsModule,
      global: true, // the saga of the effects gives money back as well
      providers: [RefundOperation, Compensation, { provide: GIVING_UP, useValue: givingUp }],
      exports: [RefundOperation, Compensation],
    };
  }
}
