import { Module } from '@nestjs/common';
import { HealthController } from './health.controller.js';

/** In every program. */
@Module({ controllers: [HealthController] })
export class HealthModule {}
