import { IdempotencyKeysController } from '../idempotency/idempotency-keys.controller.js';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import * as schema from '../http/description/schema.js';
import { ProblemsController } from './problems.controller.js';

// The engine imports nothing of ours, so the decorators of its route are here.

const { orNull, text, time } = schema;

export const RESOURCE_LINK = schema.wireObject(
  'ResourceLink',
  { object: text(), id: text(), url: schema.path },
  {
    object: 'charge',
    id: 'ch_0q3v5k8m1n7r2s4t6u9v0a5c8e1g3i7k',
    url: '/charges/ch_0q3v5k8m1n7r2s4t6u9v0a5c8e1g3i7k',
  },
);

type KeyState = Awaited<ReturnType<IdempotencyKeysController['find']>>;

const IDEMPOTENCY_KEY = schema.wireObject<KeyState>(
  'IdempotencyKey',
  {
    key: text(),
    operation: { ...text('A method and a route template.'), examples: ['POST /charges'] },
    state: {
      ...schema.oneOfTexts(['in_progress', 'completed', 'expired']),
      description: '`expired`: the answer is gone, the object stands.',
    },
    status: {
      type: ['integer', 'null'],
      description: 'The stored HTTP status. Null while it runs and after it has expired.',
    },
    resource: {
      anyOf: [RESOURCE_LINK.schema, { type: 'null' }],
      description: 'What the key made.',
    },
    attempts: { type: ['integer', 'null'], description: 'Executions. Replays do not count.' },
    needs_attention: {
      type: ['boolean', 'null'],
      description:
        'True when recovery has stopped after too many failures of our own. A person must look; the same request with the same key still makes one attempt. Null after it has expired.',
    },
    first_seen_at: orNull(time),
    completed_at: orNull(time),
    expires_at: orNull(time),
  },
  {
    key: 'order_8472_charge_attempt_1',
    operation: 'POST /charges',
    state: 'completed',
    status: 201,
    resource: RESOURCE_LINK.example,
    attempts: 1,
    needs_attention: false,
    first_seen_at: '2026-03-01T12:00:00.000Z',
    completed_at: '2026-03-01T12:00:00.412Z',
    expires_at: '2026-03-08T12:00:00.412Z',
  },
);

decorate(
  IdempotencyKeysController,
  'find',
  Tagged('Keys'),
  Describe('getIdempotencyKey', 'What has become of a key', {
    description:
      '404 says that nothing with this key has taken effect so far, not that nothing will: the next step is the same request with the same key, never a new key.',
    path: { key: 'The key in its bare form, percent-encoded.' },
  }),
  Answers(200, 'The key was used.', IDEMPOTENCY_KEY),
  Problems('not_found'),
);

const page = Answers(200, 'A page for people.');
decorate(
  ProblemsController,
  'index',
  Tagged('Operation'),
  Describe('listProblems', 'Every problem, and what may be done about it'),
  page,
);
decorate(
  ProblemsController,
  'style',
  Tagged('Operation'),
  Describe('getProblemsStyle', 'What those pages look like'),
  Answers(200, 'CSS.'),
);
decorate(
  ProblemsController,
  'page',
  Tagged('Operation'),
  Describe('getProblem', 'What happened, why, what to do: where `type` of a problem points', {
    path: { code: 'The `code` of a problem.' },
  }),
  page,
  Problems('not_found'),
);

function decorate<Controller>(
  { prototype }: { prototype: Controller },
  method: keyof Controller & string,
  ...decorators: MethodDecorator[]
): void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, method)!;
  for (const decorate of decorators) decorate(prototype as object, method, descriptor);
}
