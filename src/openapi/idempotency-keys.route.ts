import { applyDecorators } from '@nestjs/common';
import { IdempotencyKeysController } from '../idempotency/idempotency-keys.controller.js';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import * as schema from '../http/description/schema.js';
import { RESOURCE_LINK } from '../http/resource-link.js';
import { EXAMPLE_CHARGE } from '../processor/processor.problems.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';

// The engine imports nothing from the rest of `src`, so this file describes the engine's route.

const { orNull, text, time } = schema;

type KeyState = Awaited<ReturnType<IdempotencyKeysController['find']>>;

const IDEMPOTENCY_KEY = schema.wireObject<KeyState>(
  'IdempotencyKey',
  {
    key: text(),
    operation: { ...text('A method and a route template.'), examples: ['POST /charges'] },
    state: {
      ...schema.oneOfTexts(['in_progress', 'completed', 'expired']),
      description: '`expired`: the answer is gone, the object still exists.',
    },
    status: {
      type: ['integer', 'null'],
      description:
        'The stored HTTP status. Null while the request runs and after the answer has expired.',
    },
    resource: {
      anyOf: [RESOURCE_LINK.schema, { type: 'null' }],
      description: 'The object that the key created.',
    },
    attempts: { type: ['integer', 'null'], description: 'Executions. Replays do not count.' },
    needs_attention: {
      type: ['boolean', 'null'],
      description:
        'True when recovery has stopped after too many failures of our own. An operator must act; the same request with the same key still makes one attempt. Null after the answer has expired.',
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
    resource: EXAMPLE_CHARGE,
    attempts: 1,
    needs_attention: false,
    first_seen_at: '2026-03-01T12:00:00.000Z',
    completed_at: '2026-03-01T12:00:00.412Z',
    expires_at: '2026-03-08T12:00:00.412Z',
  },
);

const { prototype } = IdempotencyKeysController;
applyDecorators(
  Tagged('Keys'),
  Describe('getIdempotencyKey', 'Get the state of a key', {
    description:
      '404 says that nothing with this key has taken effect so far, not that nothing will: the next step is the same request with the same key, never a new key.',
    path: { key: 'The key in its bare form, percent-encoded.' },
  }),
  Answers(200, 'The key was used.', IDEMPOTENCY_KEY),
  Problems(NOT_FOUND),
)(prototype, 'find', Object.getOwnPropertyDescriptor(prototype, 'find'));
