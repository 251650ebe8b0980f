import type { Schema } from './schema.js';

const text = (description: string, more: Schema = {}): Schema => ({
  type: 'string',
  description,
  ...more,
});
const headers = (description: string): Schema => ({
  type: 'object',
  description,
  additionalProperties: { type: 'string' },
  default: {},
});
const patch = (description: string): Schema => ({ type: 'object', description });
const jsonPath = (description: string): Schema => text(description, { pattern: '^\\$' });
const path = text('The path, from the URL on.', { pattern: '^/' });
const method = text('The method.', { enum: ['POST', 'PUT', 'PATCH'], default: 'POST' });
const either = (description: string, values: unknown[], fallback: unknown): Schema => ({
  description,
  enum: values,
  default: fallback,
});
const amount = (description: string, fallback: number, minimum = 0): Schema => ({
  type: 'number',
  description,
  minimum,
  default: fallback,
});
const record = (
  description: string,
  properties: Record<string, Schema>,
  required: string[] = [],
): Schema => ({
  type: 'object',
  description,
  properties,
  required,
  additionalProperties: false,
});

const body = patch('A valid body; {{reference}} in a text becomes a name that is used once.');

const create = record(
  'The POST that makes something.',
  {
    method,
    path,
    encoding: either('How the body is written.', ['json', 'form'], 'json'),
    status: {
      type: 'integer',
      description: 'Of a success.',
      minimum: 200,
      maximum: 299,
      default: 201,
    },
    id: { ...jsonPath('Where a response holds the id of what was made.'), default: '$.id' },
    body,
    changes: record(
      'Merge patches (RFC 7396) of the body. Each gives another valid body.',
      {
        value: patch('Another value, such as another amount.'),
        text: patch('Another text, such as another description.'),
        added: patch('One more member.'),
        removed: patch('One member less: null.'),
        nested: patch('A difference inside an object.'),
        order: patch('The same items of an array in another order.'),
      },
      ['value'],
    ),
    invalid: patch('Merge patch: the API refuses this body as invalid.'),
    declined: patch('Merge patch: valid, and finally refused, such as a declined card.'),
    breaksOff: patch('Merge patch: the first attempt ends in a 5xx, although it may be done.'),
    slow: patch('Merge patch: the API needs a second or more.'),
    loseAnswer: {
      type: 'object',
      description: 'Headers with which the API does the work and loses its response.',
      additionalProperties: { type: 'string' },
    },
  },
  ['path', 'body', 'changes'],
);

const promises = record('What the API promises where good APIs differ.', {
  onMissingKey: either('A request without a key.', ['refuse', 'accept'], 'refuse'),
  keySyntax: either('What the value of the header is.', ['bare', 'string', 'both'], 'bare'),
  keyMaxLength: { type: 'integer', description: 'The longest key, in characters.', minimum: 36 },
  onConcurrent: either('A duplicate while the first request runs.', ['wait', '409'], '409'),
  onMismatch: either('Another body under a used key.', [422, 409, 400, 417, 'replay'], 422),
  sameBody: either('What makes two bodies the same.', ['json-value', 'bytes'], 'json-value'),
  onOtherOperation: either('A used key elsewhere.', ['refuse', 'independent'], 'refuse'),
  storesValidationErrors: {
    type: 'boolean',
    description: 'A key is used up by an invalid body.',
    default: false,
  },
  storesDeclines: { type: 'boolean', description: 'A final refusal is replayed.', default: true },
  storesServerErrors: { type: 'boolean', description: 'A 5xx is replayed.', default: false },
  replayHeader: record(
    'The header that marks a replay.',
    { name: text('Its name.'), value: text('Its value.') },
    ['name', 'value'],
  ),
  repeatedHeaders: {
    type: 'array',
    description: 'Response headers that a replay repeats.',
    items: { type: 'string' },
    default: ['Content-Type'],
  },
  errorFormat: either('The media type of errors.', ['problem+json', 'any'], 'any'),
  expirySeconds: {
    type: 'number',
    description: 'The life of a key, if that is 2 to 60 s.',
    minimum: 2,
    maximum: 60,
  },
  onExpired: either('The same request after that time.', ['new', 'refuse'], 'new'),
});

/** `npm run conformance -- --schema` prints it, for editors. */
export const PROFILE_SCHEMA: Schema = record(
  'An API with idempotent POST, for the conformance check.',
  {
    $schema: text('Ignored; for editors.'),
    name: text('The name of the API, for the reports.'),
    url: text('Where the API is, unless --url says it.'),
    keyHeader: text('The name of the header.', {
      pattern: '^[A-Za-z0-9-]+$',
      default: 'Idempotency-Key',
    }),
    headers: headers('Sent with every request.'),
    accounts: {
      type: 'array',
      description: 'One account, or two for the cases on their separation.',
      minItems: 1,
      maxItems: 2,
      items: record(
        'An account.',
        { name: text('For reports.'), headers: headers('Its credentials.') },
        ['name'],
      ),
    },
    create,
    other: record('Another operation that takes keys.', { method, path, body }, ['path', 'body']),
    count: record(
      'A GET that shows what was made: items and reference, or number.',
      {
        path,
        items: jsonPath('The newest objects, at least 50.'),
        reference: jsonPath('Inside an item: what holds the reference.'),
        number: jsonPath('A number of objects, of all accounts.'),
      },
      ['path'],
    ),
    promises: { ...promises, default: {} },
    timing: {
      ...record('Waiting.', {
        requestSeconds: amount('How long one response may take.', 30, 1),
        recoverySeconds: amount('How long a retry may have to wait for its answer.', 30, 1),
        laterSeconds: amount('The pause before a late replay.', 3),
        settleMs: amount('The pause before objects are counted.', 0),
      }),
      default: {},
    },
    limits: {
      ...record('The limits of the load that the check puts on the API.', {
        maxRequests: { ...amount('Requests of a run.', 3000, 50), type: 'integer' },
        maxConcurrency: {
          ...amount('Requests at one time.', 20, 2),
          type: 'integer',
          maximum: 50,
        },
        requestsPerSecond: amount('On average.', 50, 1),
      }),
      default: {},
    },
  },
  ['name', 'accounts', 'create', 'count'],
);
