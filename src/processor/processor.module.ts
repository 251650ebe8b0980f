import { Module } from '@nestjs/common';
import { observed, ProcessorObserver } from './observed-processor.js';
import { Processor } from './processor.js';
import { StripeProcessor, type StripeOptions } from './stripe-processor.js';

export const PROCESSOR_OPTIONS = Symbol('PROCESSOR_OPTIONS');

@Module({
  providers: [
    {
      provide: Processor,
      inject: [PROCESSOR_OPTIONS, ProcessorObserver],
      useFactory: (options: StripeOptions, observer: ProcessorObserver) =>
        observed(new StripeProcessor(options), observer),
    },
  ],
  exports: [Processor],
})
export class ProcessorModule {}
