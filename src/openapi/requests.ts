import { KEY, type Parameter } from '../http/description/headers.js';
import { schemaOf } from '../http/description/input-schema.js';
import { ref } from '../http/description/schema.js';
import { PROCESSOR_UNAVAILABLE } from '../processor/processor.problems.js';
import type { Route } from './routes.js';
import { RULE } from './words.js';

/** Headers of the requests of an `@Idempotent()` route. */
const KEYED_HEADERS: readonly Parameter[] = [
  {
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
    description: `${RULE} 1 to 255 printable ASCII characters, bare (\`abc-1\`, without quotes and commas) or as a quoted string (\`"abc-1"\`, the same key). Make it when the purchase begins and keep it with the purchase. Never make it from a clock, a price or a delivery counter.`,
    schema: KEY,
    example: 'order_8472_charge_attempt_1',
  },
  {
    name: 'Prefer',
    in: 'header',
    description:
      '`wait=<seconds>`, up to 30: how long a duplicate waits for the answer of the first request (5 s by default), instead of 409 `idempotency_request_in_progress`.',
    schema: { type: 'string' },
  },
];

/** Describes the header that breaks a request on purpose. The lab passes it in; this folder does not import the lab. */
export type FaultHeader = (hasThreeBeats: boolean) => Parameter;

export function parametersOf(route: Route, faultHeader?: FaultHeader): object[] {
  // Only an operation with three beats calls the processor.
  const hasThreeBeats = route.keyed && route.problems.includes(PROCESSOR_UNAVAILABLE);
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
  return [
    ...inPath,
    ...inQuery,
    ...(route.keyed ? KEYED_HEADERS : []),
    ...route.headers,
    ...(faultHeader && route.method !== 'GET' ? [faultHeader(hasThreeBeats)] : []),
  ];
}

export function requestBody({ body, bodyKind, rawBody, examples = {} }: Route): object {
  if (bodyKind === 'raw') {
    const content = { 'application/json': { schema: { type: 'object' } } };
    return { requestBody: { required: true, description: rawBody, content } };
  }
  if (!body) return {};
  const named = Object.entries(examples).map(([name, value]) => [name, { value }] as const);
  return {
    requestBody: {
      required: bodyKind !== 'optional',
      content: {
        'application/json': { schema: ref(body.name), examples: Object.fromEntries(named) },
      },
    },
  };
}
