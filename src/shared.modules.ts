import type { DynamicModule, Type } from '@nestjs/common';
import { accountIdOf } from './accounts/auth.guard.js';
import { ChargesModule } from './charges/charges.module.js';
import type { Config } from './config.js';
import { EventsModule } from './events/events.module.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import type { EngineProbe } from './idempotency/operation.js';
import type { JobRunnerOptions } from './jobs/job-runner.js';
import { JobsModule } from './jobs/jobs.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { databaseModule } from './database/database.js';
import { UndeclaredInputInterceptor } from './http/input/undeclared-input.interceptor.js';
import { ProcessorModule } from './processor/processor.module.js';
import { RefundsModule } from './refunds/refunds.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';
import { telemetryThen } from './telemetry/telemetry.probe.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/** A charge that was declined or has failed is final, too. No other 4xx is, and no 5xx. */
const isFinal = (status: number) => (status >= 200 && status <= 299) || status === 402;
/** What the API and the background process have in common: the same engine, the same operations, other roles. */
export function sharedModules(
  config: Config,
  program: 'api' | 'worker',
  roles: ('http' | 'sweep')[],
  probe: Type<EngineProbe>,
  jobs?: JobRunnerOptions,
): DynamicModule['imports'] & object {
  return [
    TelemetryModule.forRoot({ program, level: config.logLevel }),
    databaseModule(config.databaseUrl, config.databasePoolSize),
    ProcessorModule.forRoot(config.processor),
    IdempotencyModule.forRoot({
      ...config.idempotency,
      isFinal,
      passThroughInterceptors: [UndeclaredInputInterceptor],
      roles,
      facts: { accountId: accountIdOf, requestId: (request) => request.requestId },
      probe: telemetryThen(probe),
    }),
    JobsModule.forRoot(jobs),
    EventsModule.forRoot(jobs !== undefined),
    OrdersModule,
    ChargesModule.forRoot(config.abandonLimits),
    RefundsModule.forRoot(config.abandonLimits),
    WebhooksModule.forRoot(config.webhooks, jobs && jobs.stopMs / 2),
  ];
}
