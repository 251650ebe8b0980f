import { Controller, Get } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Draining } from './draining.js';
import { Public } from './public.js';
import { Problem } from './problem.js';

@Public()
@Controller('health')
export class HealthController {
  constructor(
    private readonly dataSource: DataSource,
    private readonly draining: Draining,
  ) {}

  /** The process runs. */
  @Get('live')
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /**
   * A charge can be made, or recovered. The processor is not asked: were it away, every instance would be taken out
   * at once, lookups and replays with it, and charges are reserved and recovered without it.
   */
  @Get('ready')
  async ready(): Promise<{ status: 'ok' }> {
    if (this.draining.started) throw notReady('not_ready', 'this process is stopping');
    const rows: { read_only: string }[] = await this.dataSource
      .query(`SELECT current_setting('transaction_read_only') AS read_only`)
      .catch((cause: unknown) => {
        throw notReady('database_unavailable', 'the database does not answer', cause);
      });
    if (rows[0]?.read_only !== 'off')
      throw notReady('database_unavailable', 'the database is a standby, or read-only');
    return { status: 'ok' };
  }
}

function notReady(code: 'not_ready' | 'database_unavailable', why: string, cause?: unknown) {
  return new Problem(code, `Not ready: ${why}.`, { headers: { 'Retry-After': '1' }, cause });
}
