import { Module, type DynamicModule } from '@nestjs/common';
import { GIVING_UP } from '../charges/charge.operation.js';
import type { GivingUp } from '../charges/give-up.js';
import { RefundOperation } from './refund.operation.js';

@Module({})
export class RefundsModule {
  static forRoot(givingUp: GivingUp): DynamicModule {
    return {
      module: RefundsModule,
      providers: [RefundOperation, { provide: GIVING_UP, useValue: givingUp }],
      exports: [RefundOperation],
    };
  }
}
