import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import type { Config } from './config.js';
import { EffectsModule } from './effects/effects.module.js';
import { SilentProbe } from './idempotency/operation.js';
import { LabProbe } from './lab/service/lab-faults.js';
import { LabWorkerModule } from './lab/service/lab.module.js';
import { labOptions } from './lab/service/lab-options.js';
import { HealthController } from './http/health.controller.js';
import { ProblemFilter } from './http/problems/problem.filter.js';
import { sharedModules } from './shared.modules.js';

/** Kept of the grace period for giving back the jobs that have not ended. */
const GIVING_BACK_MS = 1_000;

/** The background process: recovers what was left unfinished, and shows its health. */
@Module({})
export class WorkerModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        ...sharedModules(config, 'worker', ['sweep'], config.lab ? LabProbe : SilentProbe, {
          databaseUrl: config.databaseUrl,
          ...config.jobs,
          stopMs: Math.max(0, config.stopping.graceMs - GIVING_BACK_MS),
        }),
        EffectsModule.forRoot(config.mail),
        ...(config.lab ? [LabWorkerModule.forRoot(labOptions(config))] : []),
      ],
      controllers: [HealthController],
      providers: [{ provide: APP_FILTER, useClass: ProblemFilter }],
    };
  }
}
