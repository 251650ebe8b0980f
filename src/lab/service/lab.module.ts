import {
  Inject,
  Module,
  type DynamicModule,
  type MiddlewareConsumer,
  type NestModule,
  type OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { NextFunction, Request, Response } from 'express';
import { DataSource } from 'typeorm';
import { AccountsModule } from '../../accounts/accounts.module.js';
import { Mailer } from '../../effects/mailer.js';
import { JobRegistry } from '../../jobs/jobs.js';
import { JobsModule } from '../../jobs/jobs.module.js';
import { ProcessorModule } from '../../processor/processor.module.js';
import { breakConnection } from './lab-faults.js';
import { openRecorder, theRecorder, type LabOptions } from './lab-options.js';
import { LabController } from './lab.controller.js';
import { NaiveCharges } from './naive-charges.js';
import { recordCalls } from './recorded-calls.js';
import { recordJobs, recordMails } from './recorded-jobs.js';
import { enterRun, recordRequest, recordResponse } from './recorded-requests.js';
import { recordStatements } from './recorded-statements.js';

const LAB_OPTIONS = Symbol('LAB_OPTIONS');

/** In the API: faults, the naive lane, the recorder. Only `app.module.ts` imports this, and only with LAB=1. */
@Module({})
export class LabModule implements NestModule, OnModuleInit {
  constructor(
    private readonly source: DataSource,
    @Inject(LAB_OPTIONS) private readonly options: LabOptions,
  ) {}

  static forRoot(options: LabOptions): DynamicModule {
    return {
      module: LabModule,
      imports: [AccountsModule, ProcessorModule],
      controllers: [LabController],
      providers: [NaiveCharges, { provide: LAB_OPTIONS, useValue: options }],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    const toThePage = (request: Request, response: Response, next: NextFunction) => {
      if (request.method !== 'GET' || request.originalUrl !== '/lab') return next();
      const { url, port } = this.options;
      response.redirect(302, url ?? `http://${request.hostname}:${port}`);
    };
    consumer
      .apply(toThePage, enterRun, recordRequest, breakConnection, recordResponse)
      .forRoutes('{*path}');
  }

  onModuleInit(): void {
    if (this.options.journal === undefined) return;
    openRecorder(this.options.journal, 'api');
    recordAll(this.source);
  }
}

/** In the worker: only the recorder. */
@Module({})
export class LabWorkerModule implements OnModuleInit {
  constructor(
    private readonly source: DataSource,
    private readonly jobs: JobRegistry,
    private readonly modules: ModuleRef,
    @Inject(LAB_OPTIONS) private readonly options: LabOptions,
  ) {}

  static forRoot(options: LabOptions): DynamicModule {
    return {
      module: LabWorkerModule,
      imports: [JobsModule],
      providers: [{ provide: LAB_OPTIONS, useValue: options }],
    };
  }

  onModuleInit(): void {
    if (this.options.journal === undefined) return;
    openRecorder(this.options.journal, 'worker');
    recordAll(this.source);
    const recorder = theRecorder()!;
    recordJobs(this.jobs, recorder);
    recordMails(this.modules.get(Mailer, { strict: false }), recorder);
  }
}

function recordAll(source: DataSource): void {
  const { journal } = theRecorder()!;
  recordStatements(source, journal);
  recordCalls(journal);
}
