import { Module, type DynamicModule } from '@nestjs/common';
import { ChargeOperation, ABANDON_LIMITS } from './charge.operation.js';
import type { AbandonLimits } from './abandon.js';

@Module({})
export class ChargesModule {
  static forRoot(abandonLimits: AbandonLimits): DynamicModule {
    return {
      module: ChargesModule,
      global: true, // the processor's webhook settles charges as well
      providers: [ChargeOperation, { provide: ABANDON_LIMITS, useValue: abandonLimits }],
      exports: [ChargeOperation],
    };
  }
}
