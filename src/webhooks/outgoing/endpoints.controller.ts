import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { accountIdOf } from '../../accounts/auth.guard.js';
import { Idempotent } from '../../idempotency/idempotent.interceptor.js';
import type { Plan } from '../../idempotency/operation.js';
import { OptionalBody } from '../../http/input/body.guard.js';
import { Database } from '../../database/database.js';
import { ListQuery, page, type List } from '../../http/input/list.js';
import { ListReads } from '../../http/input/list-reads.js';
import { objectNotFound } from '../../http/problems/problem.js';
import { deliveryToWire, type Delivery, type DeliveryWire } from './delivery.entity.js';
import { CreateEndpoint, NoMembers } from './endpoint.dto.js';
import { endpointToWire, type Endpoint, type EndpointWire } from './endpoint.entity.js';
import { EndpointOperation, SecretRotationOperation } from './endpoint.operations.js';
import { deleteEndpoint, ENDPOINT_COLUMNS, findEndpoint } from './endpoint.queries.js';

/** The newest attempt of a delivery, beside the delivery itself. */
const DELIVERIES = `(
  SELECT delivery.*, attempt.response_status, attempt.error
  FROM webhook_deliveries AS delivery
  LEFT JOIN webhook_attempts AS attempt
    ON attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id
    AND attempt.number = delivery.attempts
) AS deliveries`;

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
  async create(@Req() request: Request, @Body() body: CreateEndpoint): Promise<Plan> {
    return this.endpoints.plan(accountIdOf(request), body);
  }

  @Post(':id/rotate-secret')
  @Idempotent()
  @OptionalBody()
  async rotate(
    @Req() request: Request,
    @Param('id') id: string,
    @Body() _body: NoMembers,
  ): Promise<Plan> {
    return this.rotations.plan(accountIdOf(request), id);
  }

  @Get()
  async list(@Req() request: Request, @Query() query: ListQuery): Promise<List<EndpointWire>> {
    return page<Endpoint, EndpointWire>(this.lists, accountIdOf(request), query, {
      table: 'webhook_endpoints',
      columns: ENDPOINT_COLUMNS,
      where: ['deleted_at IS NULL'],
      values: [],
      url: '/webhook-endpoints',
      toWire: endpointToWire,
    });
  }

  @Get(':id')
  async find(@Req() request: Request, @Param('id') id: string): Promise<EndpointWire> {
    return endpointToWire(await this.endpointOf(request, id));
  }

  @Delete(':id')
  @HttpCode(204)
  async delete(@Req() request: Request, @Param('id') id: string): Promise<void> {
    const known = await this.db.transaction((tx) => deleteEndpoint(tx, accountIdOf(request), id));
    if (!known) throw objectNotFound('webhook endpoint');
  }

  @Get(':id/deliveries')
  async deliveries(
    @Req() request: Request,
    @Param('id') id: string,
    @Query() query: ListQuery,
  ): Promise<List<DeliveryWire>> {
    const endpoint = await this.endpointOf(request, id);
    return page<Delivery, DeliveryWire>(this.lists, endpoint.account_id, query, {
      table: DELIVERIES,
      columns: '*',
      of: { column: 'endpoint_id', id: endpoint.id },
      where: [],
      values: [],
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
