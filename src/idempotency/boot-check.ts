import {
  Injectable,
  type NestInterceptor,
  type OnApplicationBootstrap,
  type Type,
} from '@nestjs/common';
import { INTERCEPTORS_METADATA } from '@nestjs/common/constants.js';
import {
  ApplicationConfig,
  HttpAdapterHost,
  MetadataScanner,
  ModulesContainer,
} from '@nestjs/core';
import type { Application } from 'express';
import { IdempotencyMisconfigured } from './errors.js';
import { IDEMPOTENT, IdempotentInterceptor, nameOfOperation } from './idempotent.interceptor.js';
import { OperationRegistry } from './operation.js';

type Callback = (...args: never[]) => unknown;

/**
 * Refuses to start an application in which an `@Idempotent()` route would fail at its first request, or would send
 * bytes that differ from the stored ones. It reads routes from the router, so it sees global prefixes, versions and
 * `RouterModule`. Proof: test/white-box/lift/mounting.spec.ts.
 */
@Injectable()
export class BootCheck implements OnApplicationBootstrap {
  private readonly passThrough: readonly unknown[];

  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: ApplicationConfig,
    private readonly modules: ModulesContainer,
    private readonly operations: OperationRegistry,
    passThroughInterceptors: readonly Type<NestInterceptor>[],
  ) {
    this.passThrough = [IdempotentInterceptor, ...passThroughInterceptors];
  }

  onApplicationBootstrap(): void {
    this.checkOperations();
    this.checkInterceptors();
  }

  private checkOperations(): void {
    const adapter = this.host.httpAdapter;
    if (adapter.getType() !== 'express') {
      throw new IdempotencyMisconfigured(
        `The engine runs on Express, not on ${adapter.getType()}.`,
      );
    }
    const { stack } = adapter.getInstance<Application>().router;
    for (const { route } of stack) {
      for (const { handle, method } of route?.stack ?? []) {
        // Nest copies a handler's metadata to the function that it gives to the router.
        if (!route || !isIdempotent(handle)) continue;
        const name = nameOfOperation(method ?? 'all', route.path);
        if (!this.operations.find(name)) {
          const known = this.operations.all().map((operation) => operation.name);
          throw new IdempotencyMisconfigured(
            `${name} is @Idempotent(), but no operation of that name is registered (registered: ${known.join(', ') || 'none'}).`,
          );
        }
      }
    }
  }

  private checkInterceptors(): void {
    const globalInterceptors: unknown[] = [
      ...this.config.getGlobalInterceptors(),
      ...this.config.getGlobalRequestInterceptors().map(({ metatype }) => metatype),
    ];
    for (const [controller, handler] of this.idempotentHandlers()) {
      for (const interceptor of [
        ...globalInterceptors,
        ...interceptorsOf(controller),
        ...interceptorsOf(handler),
      ]) {
        const type =
          typeof interceptor === 'function' ? interceptor : Object(interceptor).constructor;
        if (this.passThrough.includes(type)) continue;
        throw new IdempotencyMisconfigured(
          `${type.name} runs on ${controller.name}.${handler.name}, which is @Idempotent(): a retry must get the stored bytes. ` +
            'If it returns what the handler returned, add it to passThroughInterceptors. If it wraps responses, wrap them in the plan instead.',
        );
      }
    }
  }

  private *idempotentHandlers(): Generator<[controller: Callback, handler: Callback]> {
    const scanner = new MetadataScanner();
    for (const module of this.modules.values()) {
      for (const { metatype } of module.controllers.values()) {
        const prototype = metatype?.prototype as Record<string, Callback> | undefined;
        for (const name of scanner.getAllMethodNames(prototype ?? null)) {
          const handler = prototype?.[name];
          if (handler && isIdempotent(handler)) yield [metatype as Callback, handler];
        }
      }
    }
  }
}

function isIdempotent(handler: object): boolean {
  return Reflect.getMetadata(IDEMPOTENT, handler) === true;
}

function interceptorsOf(target: object): unknown[] {
  return (Reflect.getMetadata(INTERCEPTORS_METADATA, target) as unknown[] | undefined) ?? [];
}
