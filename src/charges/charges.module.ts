import { Module } from '@nestjs/common';
import { ChargeOperation } from './charge.operation.js';

@Module({ providers: [ChargeOperation], exports: [ChargeOperation] })
export class ChargesModule {}
