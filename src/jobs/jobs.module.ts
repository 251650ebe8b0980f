import { Module } from '@nestjs/common';
import { JobRunner } from './job-runner.js';
import { JobRegistry } from './jobs.js';

@Module({ providers: [JobRegistry], exports: [JobRegistry] })
export class JobsModule {}

/** Runs the jobs, in the worker only. */
@Module({ imports: [JobsModule], providers: [JobRunner] })
export class JobsWorkerModule {}
