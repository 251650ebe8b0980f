import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AccountsModule } from './accounts/accounts.module.js';
import { AuthGuard } from './accounts/auth.guard.js';
import { RateLimitGuard } from './accounts/rate-limit.guard.js';
import { RateLimits } from './accounts/rate-limits.js';
import { ChargesController } from './charges/charges.controller.js';
import type { Config } from './config.js';
import { EventsController } from './events/events.controller.js';
import { SilentProbe, type EngineProbe } from './idempotency/operation.js';
import { LabFaultGuard, LabProbe } from './lab/service/lab-faults.js';
import { LabModule } from './lab/service/lab.module.js';
import { labOptions } from './lab/service/lab-options.js';
import { OpenApiModule } from './openapi/openapi.module.js';
import { OrdersController } from './orders/orders.controller.js';
import { BodyGuard } from './http/input/body.guard.js';
import { Database } from './database/database.js';
import { HealthController } from './http/health.controller.js';
import { ListReads } from './http/input/list-reads.js';
import { ProblemFilter } from './http/problems/problem.filter.js';
import { ProblemsController } from './openapi/problems.controller.js';
import { UndeclaredInputModule } from './http/input/undeclared-input.interceptor.js';
import { StrictValidationPipe } from './http/input/validation.js';
import { RefundsController } from './refunds/refunds.controller.js';
import { ProductsController } from './stock/products.controller.js';
import { sharedModules } from './shared.modules.js';
import { ProcessorWebhookController } from './webhooks/incoming/processor-webhook.controller.js';
import { EndpointsController } from './webhooks/outgoing/endpoints.controller.js';

/** The table of contents: what answers HTTP requests, in the order in which a request passes it. */
@Module({})
export class AppModule {
  /** @param probe told each point the engine passes: the lab's faults by default, tests bring their own. */
  static forRoot(
    config: Config,
    probe: Type<EngineProbe> = config.lab ? LabProbe : SilentProbe,
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ...sharedModules(config, 'api', ['http'], probe),
        UndeclaredInputModule, // after the engine, so that its interceptor runs within the engine's
        AccountsModule,
        OpenApiModule.forRoot({ lab: config.lab }),
        ...(config.lab ? [LabModule.forRoot(labOptions(config))] : []),
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
        {
          provide: ListReads,
          inject: [Database],
          useFactory: (db: Database) => new ListReads(db, config.databasePoolSize),
        },
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
