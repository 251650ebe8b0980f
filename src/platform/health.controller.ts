import { Controller, Get } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Public } from './public.js';
import { Problem } from './problem.js';

@Public()
@Controller('health')
export class HealthController {
  constructor(private readonly dataSource: DataSource) {}

  /** The process runs. */
  @Get('live')
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /** A charge can be made, or recovered. */
  @Get('ready')
  async ready(): Promise<{ status: 'ok' }> {
    try {
      await this.dataSource.query('SELECT 1');
    } catch (cause) {
      throw new Problem('database_unavailable', 'Not ready: the database does not answer.', {
        headers: { 'Retry-After': '1' },
        cause,
      });
    }
    return { status: 'ok' };
  }
}
