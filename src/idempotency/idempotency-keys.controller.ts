import { Controller, Get, Inject, Param, Req } from '@nestjs/common';
import type { Request } from 'express';
import { Database } from './database.js';
import { IdempotencyKeyUnknown, type ResourceLink } from './errors.js';
import { deriveId } from './identity.js';
import { REQUEST_FACTS, type RequestFacts } from './idempotent.interceptor.js';
import { isPossibleKey } from './key-header.js';
import { OperationRegistry, type FoundResource } from './operation.js';
import type { IdempotencyRecord } from './record.entity.js';
import { findRecord } from './records.js';

/** The state of a key, as the API shows it. Times are ISO 8601 UTC. */
interface KeyState {
  key: string;
  operation: string;
  state: 'in_progress' | 'completed' | 'expired';
  status: number | null;
  resource: ResourceLink | null;
  attempts: number | null;
  needs_attention: boolean | null;
  first_seen_at: string | null;
  completed_at: string | null;
  expires_at: string | null;
}

@Controller('idempotency-keys')
export class IdempotencyKeysController {
  constructor(
    private readonly db: Database,
    private readonly operations: OperationRegistry,
    @Inject(REQUEST_FACTS) private readonly facts: RequestFacts,
  ) {}

  @Get(':key')
  async find(@Param('key') key: string, @Req() request: Request): Promise<KeyState> {
    if (!isPossibleKey(key)) throw new IdempotencyKeyUnknown();
    const accountId = this.facts.accountId(request);
    const read = () => findRecord(this.db, accountId, key);
    let record = await read();
    if (record && !record.expired) return this.live(record);
    const expired = await this.expired(accountId, key);
    // The object may be newer than the first read. Its record was written with it, so read the record again.
    record = await read();
    if (record && !record.expired) return this.live(record);
    if (!expired) throw new IdempotencyKeyUnknown();
    return expired;
  }

  private async live(record: IdempotencyRecord): Promise<KeyState> {
    const operation = this.operations.find(record.operation);
    const found = await operation?.find(this.db, record.account_id, record.resource_id);
    return {
      key: record.key,
      operation: record.operation,
      state: record.state,
      status: record.response_status,
      resource: found ? linkTo(found) : null,
      attempts: record.attempts,
      needs_attention: record.needs_attention,
      first_seen_at: record.first_seen_at.toISOString(),
      completed_at: record.completed_at?.toISOString() ?? null,
      expires_at: record.expires_at?.toISOString() ?? null,
    };
  }

  /** The record is deleted or expired. The ids that it could have created can be derived again. */
  private async expired(accountId: string, key: string): Promise<KeyState | undefined> {
    let newest: { operation: string; resource: FoundResource } | undefined;
    for (const operation of this.operations.all().filter(({ internal }) => !internal)) {
      const id = deriveId(operation.idPrefix, accountId, operation.name, key);
      const resource = await operation.find(this.db, accountId, id);
      if (resource && (!newest || resource.createdAt > newest.resource.createdAt)) {
        newest = { operation: operation.name, resource };
      }
    }
    if (!newest) return undefined;
    return {
      key,
      operation: newest.operation,
      state: 'expired',
      status: null,
      resource: linkTo(newest.resource),
      attempts: null,
      needs_attention: null,
      first_seen_at: null,
      completed_at: null,
      expires_at: null,
    };
  }
}

function linkTo({ object, id, url }: ResourceLink): ResourceLink {
  return { object, id, url };
}
