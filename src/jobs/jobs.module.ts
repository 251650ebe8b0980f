import { Module, type DynamicModule } from '@nestjs/common';
import { JOB_RUNNER_OPTIONS, JobRunner, type JobRunnerOptions } from './job-runner.js';
import { JobRegistry } from './jobs.js';

@Module({})
export class JobsModule {
  /** @param runner absent where jobs are only added. */
  static forRoot(runner?: JobRunnerOptions): DynamicModule {
    return {
      module: JobsModule,
      global: true,
      providers: [
        JobRegistry,
        ...(runner ? [{ provide: JOB_RUNNER_OPTIONS, useValue: runner }, JobRunner] : []),
      ],
      exports: [JobRegistry],
    };
  }
}
