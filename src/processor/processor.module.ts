import { Module, type DynamicModule } from '@nestjs/common';
import { observed, ProcessorObserver } from './observed-processor.js';
import { Processor } from './processor.js';
import { StripeProcessor, type StripeOptions } from './stripe-processor.js';

@Module({})
export class ProcessorModule {
  static forRoot(options: StripeOptions): DynamicModule {
    return {
      module: ProcessorModule,
      global: true,
      providers: [
        {
          provide: Processor,
          useFactory: (observer: ProcessorObserver) =>
            observed(new StripeProcessor(options), observer),
          inject: [ProcessorObserver],
        },
      ],
      exports: [Processor],
    };
  }
}
