import { Inject, Injectable } from '@nestjs/common';
import { ReserveRaced } from '../../idempotency/errors.js';
import {
  OperationRegistry,
  type FoundResource,
  type Operation,
  type Plan,
} from '../../idempotency/operation.js';
import { created, ok } from '../../http/answer.js';
import type { Queryable } from '../../database/database.js';
import { objectNotFound } from '../../http/problems/problem.js';
import { checkEndpointUrl, type AddressPolicy } from './address-policy.js';
import { ADDRESS_POLICY } from './deliveries.js';
import type { CreateEndpoint } from './endpoint.dto.js';
import { endpointLink, endpointToWire } from './endpoint.entity.js';
import { addSecret, findEndpoint, insertEndpoint, lockEndpoint } from './endpoint.queries.js';

/** `POST /webhook-endpoints`: only this response and its replays contain the endpoint's first secret. */
@Injectable()
export class EndpointOperation implements Operation {
  readonly name = 'POST /webhook-endpoints';
  readonly idPrefix = 'we';

  constructor(
    operations: OperationRegistry,
    @Inject(ADDRESS_POLICY) private readonly policy: AddressPolicy,
  ) {
    operations.register(this);
  }

  async plan(accountId: string, { url, events }: CreateEndpoint): Promise<Plan> {
    await checkEndpointUrl(url, this.policy);
    return {
      reserve: async (tx, { id }) => {
        const endpoint = await insertEndpoint(tx, { account_id: accountId, id, url, events });
        const secret =
          endpoint &&
          (await addSecret(tx, accountId, id, `${id}.${endpoint.created_at.getTime()}`));
        if (!endpoint || secret === undefined) throw new ReserveRaced();
        return { answer: created(endpointLink(id).url, { ...endpointToWire(endpoint), secret }) };
      },
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const endpoint = await findEndpoint(db, accountId, id);
    return endpoint && { ...endpointLink(id), failed: false, createdAt: endpoint.created_at };
  }
}

/** `POST /webhook-endpoints/{id}/rotate-secret` creates a secret; the previous one stays valid for 24 hours. */
@Injectable()
export class SecretRotationOperation implements Operation {
  readonly name = 'POST /webhook-endpoints/{id}/rotate-secret';
  readonly idPrefix = 'whs';

  constructor(operations: OperationRegistry) {
    operations.register(this);
  }

  plan(accountId: string, endpointId: string): Plan {
    return {
      reserve: async (tx, { id }) => {
        const endpoint = await lockEndpoint(tx, accountId, endpointId);
        if (!endpoint) throw objectNotFound('webhook endpoint');
        const secret = await addSecret(tx, accountId, endpointId, id);
        if (secret === undefined) throw new ReserveRaced();
        return { answer: ok({ ...endpointToWire(endpoint), secret }) };
      },
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const [row] = await db.query<{ endpoint_id: string; created_at: Date }>(
      `SELECT endpoint_id, created_at FROM webhook_secrets WHERE account_id = $1 AND id = $2`,
      [accountId, id],
    );
    return row && { ...endpointLink(row.endpoint_id), failed: false, createdAt: row.created_at };
  }
}
