import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ChargesModule } from './charges/charges.module.js';
import type { Config } from './config.js';
import { databaseModule } from './database/database.js';
import { EffectsWorkerModule } from './effects/effects.module.js';
import { EventsWorkerModule } from './events/events.module.js';
import { ProblemFilter } from './http/problems/problem.filter.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { SilentProbe } from './idempotency/operation.js';
import { JobsWorkerModule } from './jobs/jobs.module.js';
import { LabProbe } from './lab/service/lab-faults.js';
import { LabWorkerModule } from './lab/service/lab.module.js';
import { labOptions } from './lab/service/lab-options.js';
import { OrdersModule } from './orders/orders.module.js';
import { engineOptions, SettingsModule } from './programs/settings.module.js';
import { RefundsModule } from './refunds/refunds.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';
import { telemetryThen } from './telemetry/telemetry.probe.js';
import { WebhooksWorkerModule } from './webhooks/webhooks.module.js';

/**
 * The background process: it recovers what was left unfinished, runs what follows from charges, and shows its health.
 * The operations are here so that the sweep can continue them; their routes are in the API only.
 */
@Module({})
export class WorkerModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        SettingsModule.forRoot(config),
        TelemetryModule.forRoot({ program: 'worker', level: config.logLevel }),
        databaseModule(config.databaseUrl, config.databasePoolSize),
        IdempotencyModule.forRoot({
          ...engineOptions(config),
          roles: ['sweep'],
          probe: telemetryThen(config.lab ? LabProbe : SilentProbe),
        }),
        JobsWorkerModule,
        EventsWorkerModule,
        OrdersModule,
        ChargesModule,
        RefundsModule,
        WebhooksWorkerModule,
        EffectsWorkerModule,
        ...(config.lab ? [LabWorkerModule.forRoot(labOptions(config))] : []),
      ],
      providers: [{ provide: APP_FILTER, useClass: ProblemFilter }],
    };
  }
}
