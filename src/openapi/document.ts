import { PROBLEMS, type ProblemCode } from './problem-catalogue.js';
import { headerComponents, headerRefs, type HeaderName } from './headers.js';
import { OBJECTS } from './objects.js';
import { headersOfProblem, problemExample, problemSchemas } from './problems.js';
import { parametersOf, requestBody, requestSchemas } from './requests.js';
import type { Route, Routes, Success } from './route.js';
import { CHARGE_ROUTES } from './routes/charges.routes.js';
import { ORDER_ROUTES, PRODUCT_ROUTES } from './routes/orders.routes.js';
import { EVENT_ROUTES } from './routes/events.routes.js';
import { KEY_ROUTES, LAB_ROUTES, OPERATION_ROUTES } from './routes/other.routes.js';
import { ref } from './schema.js';
import { INTRODUCTION } from './words.js';

const PROBLEM_TYPE = 'application/problem+json';

/** Every route of the API, as a reader sees it. */
export function routesOf({ lab }: { lab: boolean }): Routes {
  return {
    ...CHARGE_ROUTES,
    ...ORDER_ROUTES,
    ...PRODUCT_ROUTES,
    ...EVENT_ROUTES,
    ...KEY_ROUTES,
    ...OPERATION_ROUTES,
    ...(lab ? LAB_ROUTES : {}),
  };
}

export interface OpenApiDocument {
  openapi: '3.1.0';
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: Record<
    'schemas' | 'headers' | 'responses' | 'securitySchemes',
    Record<string, object>
  >;
  [member: string]: unknown;
}

export interface OpenApiOperation {
  operationId: string;
  responses: Record<string, OpenApiResponse>;
  [member: string]: unknown;
}

export interface OpenApiResponse {
  description: string;
  headers: Record<string, { $ref: string }>;
  content?: Record<string, object>;
}

/** The OpenAPI document: schemas from the decorators, the entities and the problem catalogue, words from here. */
export function openApiDocument({ lab }: { lab: boolean }): OpenApiDocument {
  const paths: OpenApiDocument['paths'] = {};
  const tags = new Set<string>();
  const routes = routesOf({ lab });
  for (const [name, route] of Object.entries(routes)) {
    const [method = '', path = ''] = name.split(' ');
    (paths[path] ??= {})[method.toLowerCase()] = operation(method, route, lab);
    tags.add(route.tag);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'charge-once',
      version: '1',
      summary: 'A payments API that charges once although networks retry',
      description: INTRODUCTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'This server' }],
    security: [{ apiKey: [] }],
    tags: [...tags].map((tag) => ({ name: tag })),
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'An API key of the account.' },
      },
      headers: headerComponents(),
      schemas: { ...requestSchemas(routes), ...OBJECTS, ...problemSchemas() },
      responses: {
        // Of paths that do not exist, and of methods that a path does not have.
        NotFound: problemResponse(['not_found'], []),
        MethodNotAllowed: problemResponse(['method_not_allowed'], []),
      },
    },
  };
}

function operation(method: string, route: Route, lab: boolean): OpenApiOperation {
  const always: HeaderName[] = ['Request-Id', ...(route.public ? [] : RATE_HEADERS)];
  const responses: Record<string, OpenApiResponse> = {};
  for (const [status, success] of Object.entries(route.successes)) {
    responses[status] = successResponse(route, success, always);
  }
  for (const [status, codes] of byStatus(problemsOf(method, route))) {
    responses[status] = problemResponse(codes, route.public ? [] : RATE_HEADERS, route.keyed);
  }
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description !== undefined && { description: route.description }),
    ...(route.public && { security: [] }),
    parameters: parametersOf(method, route, lab),
    ...requestBody(route),
    responses,
  };
}

const RATE_HEADERS: HeaderName[] = ['RateLimit', 'RateLimit-Policy'];

function successResponse(route: Route, success: Success, always: HeaderName[]): OpenApiResponse {
  const { description, schema, mediaType = 'application/json', example } = success;
  const stored: HeaderName[] = route.keyed ? ['Idempotency-Key', 'Idempotency-Expires'] : [];
  return {
    description,
    headers: headerRefs(
      [...always, ...stored, ...(success.headers ?? [])],
      [...(route.keyed ? REPLAY_HEADERS : []), ...(success.sometimes ?? [])],
    ),
    ...(schema && {
      content: { [mediaType]: { schema, ...(example !== undefined && { example }) } },
    }),
  };
}

const REPLAY_HEADERS: HeaderName[] = [
  'Idempotent-Replayed',
  'Original-Request-Id',
  'Preference-Applied',
];
/** Before the account is known there is no limit to tell of. */
const BEFORE_THE_LIMIT: readonly ProblemCode[] = [
  'unauthorized',
  'database_unavailable',
  'internal_error',
];
const STORED: readonly ProblemCode[] = ['card_declined', 'charge_failed', 'refund_failed'];

function problemResponse(
  codes: ProblemCode[],
  rateHeaders: HeaderName[],
  keyed = false,
): OpenApiResponse {
  const all = (test: (code: ProblemCode) => boolean) => codes.every(test);
  const stored: HeaderName[] =
    keyed && all((code) => STORED.includes(code)) ? ['Idempotency-Expires'] : [];
  const limited = all((code) => !BEFORE_THE_LIMIT.includes(code)) ? rateHeaders : [];
  const own = new Set(codes.flatMap(headersOfProblem));
  const ownAlways = [...own].filter((name) => all((code) => headersOfProblem(code).includes(name)));
  const required: HeaderName[] = ['Request-Id', ...limited, ...stored, ...ownAlways];
  const sometimes: HeaderName[] = [
    ...rateHeaders,
    ...own,
    ...(keyed ? [...REPLAY_HEADERS, 'Idempotency-Key' as const] : []),
  ];
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
    headers: headerRefs(
      required,
      sometimes.filter((name) => !required.includes(name)),
    ),
    content: {
      [PROBLEM_TYPE]: {
        schema:
          codes.length === 1
            ? ref(`problem.${codes[0]}`)
            : { oneOf: codes.map((code) => ref(`problem.${code}`)) },
        examples: Object.fromEntries(codes.map((code) => [code, { value: problemExample(code) }])),
      },
    },
  };
}

/** What a route can answer beyond its own, from what kind it is. In the order in which they are decided. */
function problemsOf(method: string, route: Route): ProblemCode[] {
  const codes: ProblemCode[] = [];
  if (!route.public) codes.push('unauthorized', 'rate_limited');
  if (route.rawBody) codes.push('payload_too_large', 'malformed_json');
  if (route.body) codes.push('payload_too_large', 'unsupported_media_type', 'malformed_json');
  if (route.keyed) {
    codes.push(
      'idempotency_key_missing',
      'idempotency_key_invalid',
      'idempotency_key_reused',
      'idempotency_request_in_progress',
      'idempotency_key_expired',
    );
  }
  codes.push('validation_failed'); // unknown query parameters, on every route
  if (route.conditional === 'put') codes.push('precondition_failed', 'precondition_required');
  if (route.conditional === 'delete') codes.push('precondition_failed');
  codes.push(...(route.problems ?? []));
  if (method !== 'get') codes.push('outcome_unknown');
  if (!route.public) codes.push('database_unavailable');
  codes.push('internal_error');
  return [...new Set(codes)];
}

function byStatus(codes: ProblemCode[]): Map<string, ProblemCode[]> {
  const groups = new Map<string, ProblemCode[]>();
  for (const code of codes) {
    const status = String(PROBLEMS[code].status);
    groups.set(status, [...(groups.get(status) ?? []), code]);
  }
  return groups;
}
