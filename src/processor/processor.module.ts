import { Module, type DynamicModule } from '@nestjs/common';
import { Processor } from './processor.js';
import { StripeProcessor, type StripeOptions } from './stripe-processor.js';

@Module({})
export class ProcessorModule {
  static forRoot(options: StripeOptions): DynamicModule {
    return {
      module: ProcessorModule,
      global: true,
      providers: [{ provide: Processor, useFactory: () => new StripeProcessor(options) }],
      exports: [Processor],
    };
  }
}
