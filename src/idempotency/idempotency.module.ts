import {
  Module,
  type DynamicModule,
  type MiddlewareConsumer,
  type NestInterceptor,
  type NestModule,
  type Provider,
  type Type,
} from '@nestjs/common';
import {
  APP_INTERCEPTOR,
  ApplicationConfig,
  HttpAdapterHost,
  ModulesContainer,
} from '@nestjs/core';
import { DataSource } from 'typeorm';
import { BootCheck } from './boot-check.js';
import { Completer } from './completer.js';
import { Database, TypeOrmDatabase } from './database.js';
import { ENGINE_OPTIONS, SETTLE_MS, type EngineOptions } from './engine-options.js';
import { IdempotencyEngine } from './engine.js';
import { IdempotencyMisconfigured } from './errors.js';
import { IdempotencyKeysController } from './idempotency-keys.controller.js';
import {
  echoIdempotencyKey,
  IdempotentInterceptor,
  REQUEST_FACTS,
  type RequestFacts,
} from './idempotent.interceptor.js';
import { EngineProbe, OperationRegistry, SilentProbe } from './operation.js';
import { Reaper } from './reaper.js';
import { Sweep } from './sweep.js';

export interface IdempotencyModuleOptions extends EngineOptions {
  facts: RequestFacts;
  /** Called at each point that a request reaches; by default it does nothing. */
  probe?: Type<EngineProbe>;
  /** Whether this process answers HTTP requests, runs sweep and reaper, or both. */
  roles: readonly ('http' | 'sweep')[];
  /**
   * Interceptors that may run on `@Idempotent()` routes, because they return what the handler returned: logs, timers.
   * Boot refuses any other.
   */
  passThroughInterceptors?: readonly Type<NestInterceptor>[];
}

/** The engine. Global, because operations in any module register with it. Needs a TypeORM `DataSource` in scope. */
@Module({})
export class IdempotencyModule implements NestModule {
  /** @throws IdempotencyMisconfigured if the lease leaves no time for an outside call. */
  static forRoot(options: IdempotencyModuleOptions): DynamicModule {
    const { leaseMs } = options;
    if (!(leaseMs > SETTLE_MS)) {
      throw new IdempotencyMisconfigured(
        `leaseMs is ${leaseMs}, but ${SETTLE_MS} ms of each lease are reserved for the database: \`perform\` would never have time. Set it to the longest \`perform\` plus ${SETTLE_MS}.`,
      );
    }
    const http = options.roles.includes('http');
    return {
      module: IdempotencyModule,
      global: true,
      controllers: http ? [IdempotencyKeysController] : [],
      providers: [
        OperationRegistry,
        IdempotencyEngine,
        Completer,
        {
          provide: Database,
          inject: [DataSource],
          useFactory: (dataSource: DataSource) => new TypeOrmDatabase(dataSource),
        },
        { provide: ENGINE_OPTIONS, useValue: options satisfies EngineOptions },
        { provide: REQUEST_FACTS, useValue: options.facts },
        { provide: EngineProbe, useClass: options.probe ?? SilentProbe },
        ...(http ? httpProviders(options) : []),
        ...(options.roles.includes('sweep') ? [Sweep, Reaper] : []),
      ],
      exports: [Database, OperationRegistry, IdempotencyEngine, Completer],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(echoIdempotencyKey).forRoutes('{*path}');
  }
}

function httpProviders({ passThroughInterceptors = [] }: IdempotencyModuleOptions): Provider[] {
  return [
    { provide: APP_INTERCEPTOR, useClass: IdempotentInterceptor },
    {
      provide: BootCheck,
      inject: [HttpAdapterHost, ApplicationConfig, ModulesContainer, OperationRegistry],
      useFactory: (
        ...injected: [HttpAdapterHost, ApplicationConfig, ModulesContainer, OperationRegistry]
      ) => new BootCheck(...injected, passThroughInterceptors),
    },
  ];
}
