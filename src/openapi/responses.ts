import type { HeaderName } from '../http/description/headers.js';
import { problemExample } from '../http/description/problem-schema.js';
import type { Success } from '../http/description/route.js';
import { ref } from '../http/description/schema.js';
import { PROBLEMS, type ProblemCode } from '../problems/problem-catalogue.js';
import type { Route } from './routes.js';

export interface OpenApiResponse {
  description: string;
  headers: Record<string, { $ref: string }>;
  content?: Record<string, object>;
}

const RATE_HEADERS: readonly HeaderName[] = ['RateLimit', 'RateLimit-Policy'];
const REPLAY_HEADERS: readonly HeaderName[] = [
  'Idempotent-Replayed',
  'Original-Request-Id',
  'Preference-Applied',
];
/** Problems that can occur before the account is known, so `RateLimit` is not promised with them. */
const MAY_PRECEDE_ACCOUNT = ['unauthorized', 'database_unavailable', 'internal_error'];
const STORED = ['card_declined', 'charge_failed', 'refund_failed'];

export function responsesOf(route: Route): Record<string, OpenApiResponse> {
  const problems = new Map<number, ProblemCode[]>();
  for (const code of problemsOf(route)) {
    const { status } = PROBLEMS[code];
    problems.set(status, [...(problems.get(status) ?? []), code]);
  }
  return Object.fromEntries<OpenApiResponse>([
    ...route.successes.map((each) => [each.status, successResponse(route, each)] as const),
    ...[...problems].map(([status, codes]) => [status, problemResponse(codes, route)] as const),
  ]);
}

function successResponse({ isPublic, keyed, mediaType }: Route, success: Success): OpenApiResponse {
  const { description, schema, example, headers } = success;
  const described = schema ?? (mediaType === 'application/json' ? undefined : { type: 'string' });
  const always: HeaderName[] = [
    'Request-Id',
    ...(isPublic ? [] : RATE_HEADERS),
    ...(keyed ? (['Idempotency-Key', 'Idempotency-Expires'] as const) : []),
    ...headers,
  ];
  return {
    description,
    headers: headerRefs(always, keyed ? REPLAY_HEADERS : []),
    ...(described && {
      content: {
        [success.mediaType ?? mediaType]: {
          schema: described,
          ...(example !== undefined && { example }),
        },
      },
    }),
  };
}

/** @param route absent: a path or a method that does not exist */
export function problemResponse(codes: ProblemCode[], route?: Route): OpenApiResponse {
  const all = (test: (code: ProblemCode) => boolean) => codes.every(test);
  const rateHeaders = !route || route.isPublic ? [] : RATE_HEADERS;
  const keyed = route?.keyed === true;
  const own = new Set(codes.flatMap(headersOf));
  const always: HeaderName[] = [
    'Request-Id',
    ...(all((code) => !MAY_PRECEDE_ACCOUNT.includes(code)) ? rateHeaders : []),
    ...(keyed && all((code) => STORED.includes(code)) ? (['Idempotency-Expires'] as const) : []),
    ...[...own].filter((name) => all((code) => headersOf(code).includes(name))),
  ];
  const sometimes: HeaderName[] = [
    ...rateHeaders,
    ...own,
    ...(keyed ? ([...REPLAY_HEADERS, 'Idempotency-Key'] as const) : []),
  ];
  const [schema, ...others] = codes.map((code) => ref(`problem.${code}`));
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
    headers: headerRefs(always, sometimes),
    content: {
      'application/problem+json': {
        schema: others.length === 0 ? schema : { oneOf: [schema, ...others] },
        examples: Object.fromEntries(
          codes.map((code) => [code, { value: problemExample(PROBLEMS[code]) }]),
        ),
      },
    },
  };
}

const headersOf = (code: ProblemCode): readonly HeaderName[] => PROBLEMS[code].headers ?? [];

/** A required header has its own component. */
function headerRefs(always: readonly HeaderName[], sometimes: readonly HeaderName[]) {
  const component = (name: string) => ({ $ref: `#/components/headers/${name}` });
  return Object.fromEntries([
    ...sometimes
      .filter((name) => !always.includes(name))
      .map((name) => [name, component(name)] as const),
    ...always.map((name) => [name, component(`${name}-always`)] as const),
  ]);
}

/** What a route can answer, from its kind and from its own `@Problems()`. In the order in which they are decided. */
function problemsOf({ method, body, bodyKind, isPublic, keyed, problems }: Route) {
  const codes: string[] = [
    ...(isPublic ? [] : ['unauthorized', 'rate_limited']),
    ...(bodyKind === 'raw' ? ['payload_too_large', 'malformed_json'] : []),
    ...(body ? ['payload_too_large', 'unsupported_media_type', 'malformed_json'] : []),
    ...(keyed ? Object.keys(PROBLEMS).filter((code) => code.startsWith('idempotency_')) : []),
    'validation_failed', // unknown query parameters, on every route
    ...problems.map(({ code }) => code),
    ...(method === 'GET' ? [] : ['outcome_unknown']),
    ...(isPublic ? [] : ['database_unavailable']),
    'internal_error',
  ];
  const unknown = codes.find((code) => !Object.hasOwn(PROBLEMS, code));
  if (unknown !== undefined) throw new Error(`there is no problem ${unknown}`);
  return [...new Set(codes)] as ProblemCode[];
}
