import { Module, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { AccountsModule } from '../accounts/accounts.module.js';
import { ProcessorModule } from '../processor/processor.module.js';
import { injectLabFault } from './lab-faults.js';
import { LabController } from './lab.controller.js';
import { NaiveCharges } from './naive-charges.js';

/** Faults and the naive lane. Nothing imports this but the table of contents, and only with LAB=1. */
@Module({
  imports: [AccountsModule, ProcessorModule],
  controllers: [LabController],
  providers: [NaiveCharges],
})
export class LabModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(injectLabFault).forRoutes('{*path}');
  }
}
