import { Module, type DynamicModule } from '@nestjs/common';
import { ChargeOperation, GIVING_UP } from './charge.operation.js';
import type { GivingUp } from './give-up.js';

@Module({})
export class ChargesModule {
  static forRoot(givingUp: GivingUp): DynamicModule {
    return {
      module: ChargesModule,
      global: true, // the processor's webhook settles charges as well
      providers: [ChargeOperation, { provide: GIVING_UP, useValue: givingUp }],
      exports: [ChargeOperation],
    };
  }
}
