import { Module, type DynamicModule } from '@nestjs/common';
import { accountIdOf } from '../accounts/auth.guard.js';
import { RATE_LIMIT } from '../accounts/rate-limits.js';
import { ABANDON_LIMITS } from '../charges/abandon.js';
import { isFinal } from '../charges/charge.problems.js';
import type { Config } from '../config.js';
import { MAIL_OPTIONS } from '../effects/mailer.js';
import { LISTS_POOL_SIZE } from '../http/input/list-reads.js';
import { UndeclaredInputInterceptor } from '../http/input/undeclared-input.interceptor.js';
import { JOB_RUNNER_OPTIONS, type JobRunnerOptions } from '../jobs/job-runner.js';
import { PROCESSOR_OPTIONS } from '../processor/processor.module.js';
import { addressPolicy } from '../webhooks/outgoing/address-policy.js';
import { ADDRESS_POLICY, DELIVERY_TIMEOUT_MS } from '../webhooks/outgoing/deliveries.js';
import { DELIVERY_LOOP_OPTIONS } from '../webhooks/outgoing/delivery.loop.js';

/** The part of the grace period in which unfinished jobs are unlocked for other workers. */
const UNLOCK_JOBS_MS = 1_000;

/**
 * Gives each module its part of the configuration, under the module's own token, so that none imports all of it.
 * Global, because nearly every module has settings.
 */
@Module({})
export class SettingsModule {
  static forRoot(config: Config): DynamicModule {
    const { webhooks, stopping } = config;
    const stopMs = Math.max(0, stopping.graceMs - UNLOCK_JOBS_MS);
    const settings = new Map<symbol, unknown>([
      [PROCESSOR_OPTIONS, config.processor],
      [ABANDON_LIMITS, config.abandonLimits],
      [RATE_LIMIT, config.rateLimit],
      [LISTS_POOL_SIZE, config.databasePoolSize],
      [ADDRESS_POLICY, addressPolicy(webhooks.publicOnly)],
      [DELIVERY_TIMEOUT_MS, webhooks.timeoutMs],
      [DELIVERY_LOOP_OPTIONS, { concurrency: webhooks.concurrency, stopMs: stopMs / 2 }],
      [
        JOB_RUNNER_OPTIONS,
        { databaseUrl: config.databaseUrl, ...config.jobs, stopMs } satisfies JobRunnerOptions,
      ],
      [MAIL_OPTIONS, config.mail],
    ]);
    return {
      module: SettingsModule,
      global: true,
      providers: [...settings].map(([provide, useValue]) => ({ provide, useValue })),
      exports: [...settings.keys()],
    };
  }
}

/** What the engine needs to know of the application, in every program. */
export function engineOptions(config: Config) {
  return {
    ...config.idempotency,
    isFinal,
    facts: {
      accountId: accountIdOf,
      requestId: (request: { requestId: string }) => request.requestId,
    },
    passThroughInterceptors: [UndeclaredInputInterceptor],
  };
}
