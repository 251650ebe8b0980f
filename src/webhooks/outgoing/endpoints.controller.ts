import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { accountIdOf } from '../../accounts/auth.guard.js';
import { Idempotent } from '../../idempotency/idempotent.interceptor.js';
import type { Plan } from '../../idempotency/operation.js';
import { NoMembers, OptionalBody } from '../../http/input/body.guard.js';
import { Database } from '../../database/database.js';
import { Answers, Describe, Problems, Tagged } from '../../http/description/route.js';
import { listOf } from '../../http/description/schema.js';
import { ListQuery, page, type List } from '../../http/input/list.js';
import { ListReads } from '../../http/input/list-reads.js';
import { objectNotFound } from '../../http/problems/problem.js';
import { deliveryToWire, type DeliveryWire } from './delivery.entity.js';
import { DELIVERY } from './delivery.schema.js';
import { CreateEndpoint } from './endpoint.dto.js';
import { endpointToWire, type Endpoint, type EndpointWire } from './endpoint.entity.js';
import { ENDPOINT, ENDPOINT_WITH_SECRET } from './endpoint.schema.js';
import { EndpointOperation, SecretRotationOperation } from './endpoint.operations.js';
import { deleteEndpoint, ENDPOINT_COLUMNS, findEndpoint } from './endpoint.queries.js';
import { NOT_FOUND } from '../../idempotency/problem-types.js';

/** Deliveries, each with its newest attempt. */
const DELIVERIES = `(
  SELECT delivery.*, attempt.response_status, attempt.error
  FROM webhook_deliveries AS delivery
  LEFT JOIN webhook_attempts AS attempt
    ON attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id
    AND attempt.number = delivery.attempts
) AS deliveries`;

const PATH = { id: 'The endpoint’s id.' };

@Tagged('Events')
@Controller('webhook-endpoints')
export class EndpointsController {
  constructor(
    private readonly db: Database,
    private readonly lists: ListReads,
    private readonly endpoints: EndpointOperation,
    private readonly rotations: SecretRotationOperation,
  ) {}

  @Post()
  @Idempotent()
  @Describe('createWebhookEndpoint', 'Create a webhook endpoint', {
    description:
      'Deliveries follow Standard Webhooks: `webhook-id` (the event’s id, the same in every attempt: apply each id once), `webhook-timestamp`, `webhook-signature`. Each event arrives at least once, in any order.',
    examples: { endpoint: { url: 'https://shop.example/hooks', events: ['order.paid'] } },
  })
  @Answers(
    201,
    'Keep the secret: it is shown in this answer and its replays only.',
    ENDPOINT_WITH_SECRET,
    ['Location'],
  )
  async create(@Req() request: Request, @Body() body: CreateEndpoint): Promise<Plan> {
    return this.endpoints.plan(accountIdOf(request), body);
  }

  @Post(':id/rotate-secret')
  @Idempotent()
  @OptionalBody()
  @Describe('rotateWebhookSecret', 'Create a new secret, once for each key', {
    description:
      'For a day, deliveries are signed with the old one as well, and, after several rotations, with each whose day has not ended (the newest ten). To end a leaked secret at once, DELETE the endpoint and create another.',
    path: PATH,
    examples: { nothing: {} },
  })
  @Answers(200, 'The new secret, in this answer and its replays only.', ENDPOINT_WITH_SECRET)
  @Problems(NOT_FOUND)
  async rotate(
    @Req() request: Request,
    @Param('id') id: string,
    @Body() _body: NoMembers,
  ): Promise<Plan> {
    return this.rotations.plan(accountIdOf(request), id);
  }

  @Get()
  @Describe('listWebhookEndpoints', 'List the endpoints, newest first')
  @Answers(200, 'A page.', listOf(ENDPOINT, '/webhook-endpoints'))
  async list(@Req() request: Request, @Query() query: ListQuery): Promise<List<EndpointWire>> {
    return page(this.lists, accountIdOf(request), query, {
      table: 'webhook_endpoints',
      columns: ENDPOINT_COLUMNS,
      where: ['deleted_at IS NULL'],
      url: '/webhook-endpoints',
      toWire: endpointToWire,
    });
  }

  @Get(':id')
  @Describe('getWebhookEndpoint', 'Get an endpoint', { path: PATH })
  @Answers(200, 'The endpoint.', ENDPOINT)
  @Problems(NOT_FOUND)
  async find(@Req() request: Request, @Param('id') id: string): Promise<EndpointWire> {
    return endpointToWire(await this.endpointOf(request, id));
  }

  @Delete(':id')
  @HttpCode(204)
  @Describe('deleteWebhookEndpoint', 'Delete a webhook endpoint', {
    description:
      'Its secrets become invalid immediately, and its pending deliveries fail. A repeat is 204, too.',
    path: PATH,
  })
  @Answers(204, 'It is deleted.')
  @Problems(NOT_FOUND)
  async delete(@Req() request: Request, @Param('id') id: string): Promise<void> {
    const known = await this.db.transaction((tx) => deleteEndpoint(tx, accountIdOf(request), id));
    if (!known) throw objectNotFound('webhook endpoint');
  }

  @Get(':id/deliveries')
  @Describe('listDeliveries', 'List the deliveries to an endpoint, newest first', {
    path: PATH,
  })
  @Answers(
    200,
    'A page.',
    listOf(DELIVERY, '/webhook-endpoints/we_5a7c9e1g3i5k7m9o1q3s5u7w9a1c3e5g/deliveries'),
  )
  @Problems(NOT_FOUND)
  async deliveries(
    @Req() request: Request,
    @Param('id') id: string,
    @Query() query: ListQuery,
  ): Promise<List<DeliveryWire>> {
    const endpoint = await this.endpointOf(request, id);
    return page(this.lists, endpoint.account_id, query, {
      table: DELIVERIES,
      columns: '*',
      of: { column: 'endpoint_id', id: endpoint.id },
      url: `/webhook-endpoints/${endpoint.id}/deliveries`,
      toWire: deliveryToWire,
    });
  }

  private async endpointOf(request: Request, id: string): Promise<Endpoint> {
    const endpoint = await findEndpoint(this.db, accountIdOf(request), id);
    if (!endpoint) throw objectNotFound('webhook endpoint');
    return endpoint;
  }
}
