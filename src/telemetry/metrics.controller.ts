import { Controller, Get, Header } from '@nestjs/common';
import { Answers, Describe, Tagged } from '../http/description/route.js';
import { Public } from '../http/public.js';
import { DatabaseGauges } from './database-gauges.js';
import { Metrics } from './metrics.js';

@Public()
@Tagged('Operation')
@Controller('metrics')
export class MetricsController {
  constructor(
    private readonly metrics: Metrics,
    private readonly gauges: DatabaseGauges,
  ) {}

  @Get()
  @Describe('getMetrics', 'Figures for Prometheus')
  @Answers(200, 'Text.')
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  async read(): Promise<string> {
    await this.gauges.refresh();
    return this.metrics.registry.metrics();
  }
}
