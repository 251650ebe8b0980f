import type { ModulesContainer } from '@nestjs/core';
import { HEADERS } from '../http/description/headers.js';
import { bodySchemaOf } from '../http/description/input-schema.js';
import { problemSchema } from '../http/description/problem-schema.js';
import type { Schema } from '../http/description/schema.js';
import { RESOURCE_LINK } from '../http/resource-link.js';
import './idempotency-keys.route.js';
import { PROBLEMS } from '../problems/problem-catalogue.js';
import { parametersOf, requestBody, type FaultHeader } from './requests.js';
import { problemResponse, responsesOf, type OpenApiResponse } from './responses.js';
import { routesIn, type Route } from './routes.js';
import { INTRODUCTION } from './words.js';

export interface OpenApiDocument {
  openapi: '3.1.0';
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: Record<
    'schemas' | 'headers' | 'responses' | 'securitySchemes',
    Record<string, object>
  >;
  [member: string]: unknown;
}

export const OPENAPI_OPTIONS = Symbol('OPENAPI_OPTIONS');

export interface OpenApiOptions {
  /** Filled in on /docs for a reader who has not authorized: the lab's demo key and no other. */
  demoApiKey?: string;
  /** Absent without the lab. */
  faultHeader?: FaultHeader;
}

export interface OpenApiOperation {
  operationId: string;
  responses: Record<string, OpenApiResponse>;
  [member: string]: unknown;
}

/** The OpenAPI document of the routes that are mounted, from their decorators and the problem catalogue. */
export function openApiDocument(
  modules: ModulesContainer,
  { faultHeader }: OpenApiOptions,
): OpenApiDocument {
  const routes = routesIn(modules);
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) {
    (paths[route.template] ??= {})[route.method.toLowerCase()] = operation(route, faultHeader);
  }
  const problems = Object.fromEntries(
    Object.values(PROBLEMS).map((type) => [`problem.${type.code}`, problemSchema(type)]),
  );
  return {
    openapi: '3.1.0',
    info: {
      title: 'charge-once',
      version: '1',
      summary: 'A payments API that charges once, even though networks retry',
      description: INTRODUCTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'This server' }],
    security: [{ apiKey: [] }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An API key of the account. Every process refuses a revoked key within one second.',
        },
      },
      headers: headerComponents(),
      schemas: { ...bodies(routes), ...objects(routes), ...problems },
      responses: {
        // For paths that do not exist, and for methods that a path does not have.
        NotFound: problemResponse(['not_found']),
        MethodNotAllowed: problemResponse(['method_not_allowed']),
      },
    },
  };
}

function operation(route: Route, faultHeader?: FaultHeader): OpenApiOperation {
  const { id, tag, summary, description, isPublic } = route;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(isPublic && { security: [] }),
    parameters: parametersOf(route, faultHeader),
    ...requestBody(route),
    responses: responsesOf(route),
  };
}

function bodies(routes: Route[]): Record<string, Schema> {
  return Object.fromEntries(
    routes.flatMap(({ body }) => (body ? [[body.name, bodySchemaOf(body)]] : [])),
  );
}

function objects(routes: Route[]): Record<string, Schema> {
  const named = routes.flatMap(({ successes }) => successes.map(({ components }) => components));
  return Object.assign({}, ...named, RESOURCE_LINK.components) as Record<string, Schema>;
}

/** Each header as optional and as `-always`: OpenAPI puts `required` on the header object, not on its use. */
function headerComponents(): Record<string, object> {
  return Object.fromEntries(
    Object.entries(HEADERS).flatMap(([name, header]) => [
      [name, header],
      [`${name}-always`, { ...header, required: true }],
    ]),
  );
}
