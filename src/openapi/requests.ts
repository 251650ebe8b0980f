import { labFault, REQUEST_HEADERS } from './headers.js';
import { bodySchemaOf, schemaOf } from './request-schemas.js';
import type { Route, Routes } from './route.js';
import { ref, type Schema } from './schema.js';

export function parametersOf(method: string, route: Route, lab: boolean): object[] {
  const inPath = Object.entries(route.path ?? {}).map(([name, variable]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
    ...(typeof variable === 'string' ? { description: variable } : variable),
  }));
  const query = route.query ? schemaOf(route.query) : {};
  const inQuery = Object.entries(query.properties ?? {}).map(
    ([name, { description, ...schema }]) => ({ name, in: 'query', description, schema }),
  );
  const { IdempotencyKey, PreferWait, IfMatch, IfMatchDelete } = REQUEST_HEADERS;
  const { IfNoneMatchCreate, IfNoneMatchRead } = REQUEST_HEADERS;
  const conditional = {
    read: [IfNoneMatchRead],
    put: [IfMatch, IfNoneMatchCreate],
    delete: [IfMatchDelete],
  };
  return [
    ...inPath,
    ...inQuery,
    ...(route.keyed ? [IdempotencyKey, PreferWait] : []),
    ...(route.conditional ? conditional[route.conditional] : []),
    ...(route.rawBody?.headers ?? []),
    ...(lab && method !== 'GET'
      ? [
          labFault({
            threeBeats:
              route.problems?.includes('processor_unavailable') === true && route.keyed === true,
          }),
        ]
      : []),
  ];
}

/** The bodies, named after the class that checks each. */
export function requestSchemas(routes: Routes): Record<string, Schema> {
  return Object.fromEntries(
    Object.values(routes).flatMap(({ body }) =>
      body ? [[body.dto.name, bodySchemaOf(body)]] : [],
    ),
  );
}

export function requestBody({ body, rawBody }: Route): object {
  if (rawBody) {
    const { description, schema } = rawBody;
    return {
      requestBody: { required: true, description, content: { 'application/json': { schema } } },
    };
  }
  if (!body) return {};
  const examples = Object.fromEntries(
    Object.entries(body.examples).map(([name, value]) => [name, { value }]),
  );
  return {
    requestBody: {
      required: !body.optional,
      content: {
        'application/json': { schema: ref(body.dto.name), examples },
      },
    },
  };
}
