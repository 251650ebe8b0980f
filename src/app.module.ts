import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AccountsModule } from './accounts/accounts.module.js';
import { accountIdOf, AuthGuard } from './accounts/auth.guard.js';
import { RateLimitGuard } from './accounts/rate-limit.guard.js';
import { RateLimits } from './accounts/rate-limits.js';
import { ChargesController } from './charges/charges.controller.js';
import { ChargesModule } from './charges/charges.module.js';
import type { Config } from './config.js';
import { EffectsModule } from './effects/effects.module.js';
import { EventsController } from './events/events.controller.js';
import { EventsModule } from './events/events.module.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { SilentProbe, type EngineProbe } from './idempotency/operation.js';
import type { JobRunnerOptions } from './jobs/job-runner.js';
import { JobsModule } from './jobs/jobs.module.js';
import { LabFaultGuard, LabFaultProbe } from './lab/lab-faults.js';
import { LabModule } from './lab/lab.module.js';
import { OpenApiModule } from './openapi/openapi.module.js';
import { OrdersController } from './orders/orders.controller.js';
import { OrdersModule } from './orders/orders.module.js';
import { BodyGuard } from './platform/body.guard.js';
import { databaseModule } from './platform/database.js';
import { HealthController } from './platform/health.controller.js';
import { ProblemFilter } from './platform/problem.filter.js';
import { ProblemsController } from './platform/problems.controller.js';
import { UndeclaredInputModule } from './platform/undeclared-input.interceptor.js';
import { StrictValidationPipe } from './platform/validation.js';
import { ProcessorModule } from './processor/processor.module.js';
import { RefundsController } from './refunds/refunds.controller.js';
import { RefundsModule } from './refunds/refunds.module.js';
import { ProductsController } from './stock/products.controller.js';
import { ProcessorWebhookController } from './webhooks/incoming/processor-webhook.controller.js';
import { EndpointsController } from './webhooks/outgoing/endpoints.controller.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';
import { telemetryThen } from './telemetry/telemetry.probe.js';

/** Beyond the processor's own deadline, so that an honest attempt is never overtaken. */
const LEASE_MARGIN_MS = 2_000;
/** Kept of the grace period for giving back the jobs that have not ended. */
const GIVING_BACK_MS = 1_000;

/** The table of contents: what answers HTTP requests, in the order in which a request passes it. */
@Module({})
export class AppModule {
  /** @param probe told each point the engine passes: the lab's faults by default, tests bring their own. */
  static forRoot(
    config: Config,
    probe: Type<EngineProbe> = config.lab ? LabFaultProbe : SilentProbe,
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ...sharedModules(config, 'api', ['http'], probe),
        UndeclaredInputModule, // after the engine, so that its interceptor runs within the engine's
        AccountsModule,
        OpenApiModule.forRoot({ lab: config.lab }),
        ...(config.lab ? [LabModule] : []),
      ],
      controllers: [
        HealthController,
        ProblemsController,
        ChargesController,
        RefundsController,
        OrdersController,
        ProductsController,
        EventsController,
        EndpointsController,
        ProcessorWebhookController,
      ],
      providers: [
        { provide: RateLimits, useValue: new RateLimits(config.rateLimit) },
        // Guards run in this order: who is calling, how often, what did they send. (The router has answered 404 and 405.)
        { provide: APP_GUARD, useClass: AuthGuard },
        { provide: APP_GUARD, useClass: RateLimitGuard },
        { provide: APP_GUARD, useClass: BodyGuard },
        ...(config.lab ? [{ provide: APP_GUARD, useClass: LabFaultGuard }] : []),
        { provide: APP_PIPE, useClass: StrictValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}

/** The background process: recovers what was left unfinished, and shows its health. */
@Module({})
export class WorkerModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        ...sharedModules(config, 'worker', ['sweep'], SilentProbe, {
          databaseUrl: config.databaseUrl,
          ...config.jobs,
          stopMs: Math.max(0, config.stopping.graceMs - GIVING_BACK_MS),
        }),
        EffectsModule.forRoot(config.mail),
      ],
      controllers: [HealthController],
      providers: [{ provide: APP_FILTER, useClass: ProblemFilter }],
    };
  }
}

function sharedModules(
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
      leaseMs: config.processor.timeoutMs + LEASE_MARGIN_MS,
      roles,
      facts: { accountId: accountIdOf, requestId: (request) => request.requestId },
      probe: telemetryThen(probe),
    }),
    JobsModule.forRoot(jobs),
    EventsModule,
    OrdersModule,
    ChargesModule.forRoot(config.givingUp),
    RefundsModule.forRoot(config.givingUp),
    WebhooksModule.forRoot(config.production, config.jobs.concurrency.outside, jobs !== undefined),
  ];
}
