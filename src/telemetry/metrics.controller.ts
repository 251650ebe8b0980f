import { Controller, Get, Header } from '@nestjs/common';
import { Public } from '../http/public.js';
import { DatabaseGauges } from './database-gauges.js';
import { Metrics } from './metrics.js';

@Public()
@Controller('metrics')
export class MetricsController {
  constructor(
    private readonly metrics: Metrics,
    private readonly gauges: DatabaseGauges,
  ) {}

  /** Prometheus' text format. */
  @Get()
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  async read(): Promise<string> {
    await this.gauges.refresh();
    return this.metrics.registry.metrics();
  }
}
