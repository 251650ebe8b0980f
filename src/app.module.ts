import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AccountsModule } from './accounts/accounts.module.js';
import { DEMO_ACCOUNTS } from './accounts/demo-accounts.js';
import { AuthGuard } from './accounts/auth.guard.js';
import { RateLimitGuard } from './accounts/rate-limit.guard.js';
import { ChargesHttpModule } from './charges/charges.module.js';
import type { Config } from './config.js';
import { databaseModule } from './database/database.js';
import { EventsHttpModule } from './events/events.module.js';
import { BodyGuard } from './http/input/body.guard.js';
import { UndeclaredInputModule } from './http/input/undeclared-input.interceptor.js';
import { StrictValidationPipe } from './http/input/validation.js';
import { ProblemFilter } from './http/problems/problem.filter.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { SilentProbe, type EngineProbe } from './idempotency/operation.js';
import { describeFaultHeader } from './lab/service/fault-header.js';
import { LabFaultGuard, LabProbe } from './lab/service/lab-faults.js';
import { LabModule } from './lab/service/lab.module.js';
import { labOptions } from './lab/service/lab-options.js';
import { OPENAPI_OPTIONS } from './openapi/document.js';
import { OpenApiController } from './openapi/openapi.controller.js';
import { OrdersHttpModule } from './orders/orders.module.js';
import { engineOptions, SettingsModule } from './programs/settings.module.js';
import { ProblemsController } from './problems/problems.controller.js';
import { RefundsHttpModule } from './refunds/refunds.module.js';
import { StockHttpModule } from './stock/stock.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';
import { telemetryThen } from './telemetry/telemetry.probe.js';
import { WebhooksHttpModule } from './webhooks/webhooks.module.js';

const LAB_IN_DOCUMENT = { demoApiKey: DEMO_ACCOUNTS.acme, faultHeader: describeFaultHeader };

/** The API: the modules that answer HTTP requests, in the order in which a request passes them. */
@Module({})
export class AppModule {
  /** @param probe called at each point that a request reaches. By default the lab's faults, with LAB=1 only. */
  static forRoot(
    config: Config,
    probe: Type<EngineProbe> = config.lab ? LabProbe : SilentProbe,
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [
        // These four are global. No module imports settings and telemetry; most modules use the database and the
        // engine.
        SettingsModule.forRoot(config),
        TelemetryModule.forRoot({ program: 'api', level: config.logLevel }),
        databaseModule(config.databaseUrl, config.databasePoolSize),
        IdempotencyModule.forRoot({
          ...engineOptions(config),
          roles: ['http'],
          probe: telemetryThen(probe),
        }),
        UndeclaredInputModule, // after the engine, so that its interceptor runs within the engine's
        AccountsModule,
        ChargesHttpModule,
        RefundsHttpModule,
        OrdersHttpModule,
        StockHttpModule,
        EventsHttpModule,
        WebhooksHttpModule,
        ...(config.lab ? [LabModule.forRoot(labOptions(config))] : []),
      ],
      controllers: [OpenApiController, ProblemsController], // describe all of these modules
      providers: [
        { provide: OPENAPI_OPTIONS, useValue: config.lab ? LAB_IN_DOCUMENT : {} },
        // Guards run in this order: account, rate limit, body. (The router has already answered 404 and 405.)
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
