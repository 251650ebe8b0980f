import { Controller, Get } from '@nestjs/common';
import { isReadOnly } from '../idempotency/errors.js';
import { DATABASE_UNAVAILABLE, type ProblemType } from '../idempotency/problem-types.js';
import { closeIdleSessions } from '../database/connection.js';
import { Database } from '../database/database.js';
import { Answers, Describe, Problems, Tagged } from './description/route.js';
import { constant, wireObject } from './description/schema.js';
import { Draining } from './draining.js';
import { Public } from './public.js';
import { NOT_READY } from './problems/http.problems.js';
import { Problem } from './problems/problem.js';

const HEALTH = wireObject('Health', { status: constant('ok') }, { status: 'ok' });

@Public()
@Tagged('Operation')
@Controller('health')
export class HealthController {
  constructor(
    private readonly db: Database,
    private readonly draining: Draining,
  ) {}

  @Get('live')
  @Describe('live', 'The process runs')
  @Answers(200, 'The process runs.', HEALTH)
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /**
   * This process accepts work, and the database allows writes. It does not check other services: during an outage of
   * one, all instances would leave the load balancer together, even though lookups and replays need only the database.
   */
  @Get('ready')
  @Describe('ready', 'This process accepts work')
  @Answers(200, 'This process accepts work.', HEALTH)
  @Problems(NOT_READY, DATABASE_UNAVAILABLE)
  async ready(): Promise<{ status: 'ok' }> {
    if (this.draining.started) throw notReady(NOT_READY, 'this process is stopping');
    if (await this.isReadOnly()) {
      // The session may be from the server's time as a standby; a new session may be able to write.
      closeIdleSessions();
      if (await this.isReadOnly()) throw notReady(DATABASE_UNAVAILABLE, READ_ONLY);
    }
    return { status: 'ok' };
  }

  private async isReadOnly(): Promise<boolean> {
    const rows = await this.db
      .query<{ read_only: string }>(`SELECT current_setting('transaction_read_only') AS read_only`)
      .catch((cause: unknown) => {
        const why = isReadOnly(cause) ? READ_ONLY : 'the database does not answer';
        throw notReady(DATABASE_UNAVAILABLE, why, cause);
      });
    return rows[0]?.read_only !== 'off';
  }
}

const READ_ONLY = 'the database is a standby, or read-only';

function notReady(type: ProblemType, why: string, cause?: unknown) {
  return new Problem(type, `Not ready: ${why}.`, { cause });
}
