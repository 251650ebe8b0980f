import { Module } from '@nestjs/common';
import { ProblemsController } from './problems.controller.js';

/** The page of each problem. Every module defines its own problems; this room collects them. */
@Module({ controllers: [ProblemsController] })
export class ProblemsModule {}
