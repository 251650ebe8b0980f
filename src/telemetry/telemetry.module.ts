import { Global, Module, type DynamicModule } from '@nestjs/common';
import { Draining } from '../http/draining.js';
import { HealthController } from '../http/health.controller.js';
import { JsonLogger, type LogOptions } from '../log/json-logger.js';
import { RequestWatch } from '../http/request-watch.js';
import { ProcessorObserver } from '../processor/observed-processor.js';
import { DatabaseGauges } from './database-gauges.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';
import { RequestLog } from './request-log.js';
import { TelemetryProbe } from './telemetry.probe.js';

/** What an operator sees: logs, metrics, health, and whether the process is stopping. */
@Global()
@Module({})
export class TelemetryModule {
  static forRoot(log: LogOptions): DynamicModule {
    return {
      module: TelemetryModule,
      controllers: [HealthController, MetricsController],
      providers: [
        { provide: JsonLogger, useValue: new JsonLogger(log) },
        Metrics,
        DatabaseGauges,
        Draining,
        RequestLog,
        { provide: RequestWatch, useExisting: RequestLog },
        TelemetryProbe,
        { provide: ProcessorObserver, useExisting: Metrics },
      ],
      exports: [Draining, TelemetryProbe, ProcessorObserver],
    };
  }
}
