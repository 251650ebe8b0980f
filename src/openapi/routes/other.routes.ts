import { EXAMPLES } from '../examples.js';
import type { Route, Routes } from '../route.js';
import { ref, type Schema } from '../schema.js';
import { chargeBody } from './charges.routes.js';

const page = (description: string): Route['successes'] => ({
  200: { description, mediaType: 'text/html', schema: { type: 'string' } },
});
const health = { schema: ref('Health'), example: { status: 'ok' } };
const anyDocument: Schema = { type: 'object', properties: { openapi: { type: 'string' } } };

export const KEY_ROUTES: Routes = {
  'GET /idempotency-keys/{key}': {
    tag: 'Keys',
    id: 'getIdempotencyKey',
    summary: 'What has become of a key',
    description:
      '404 says that nothing with this key has taken effect so far, not that nothing will: the next step is the same request with the same key, never a new key.',
    path: { key: 'The key in its bare form, percent-encoded.' },
    successes: {
      200: {
        description: 'The key was used.',
        schema: ref('IdempotencyKey'),
        example: EXAMPLES.key,
      },
    },
    problems: ['not_found'],
  },
};

export const OPERATION_ROUTES: Routes = {
  'GET /': {
    tag: 'Operation',
    id: 'getLinks',
    summary: 'Where to go from here',
    public: true,
    successes: {
      200: { description: 'Paths on this server.', schema: ref('Links'), example: EXAMPLES.links },
    },
  },
  'GET /health/live': {
    tag: 'Operation',
    id: 'live',
    summary: 'The process runs',
    public: true,
    successes: { 200: { description: 'It does.', ...health } },
  },
  'GET /health/ready': {
    tag: 'Operation',
    id: 'ready',
    summary: 'A charge can be made',
    public: true,
    successes: { 200: { description: 'It can.', ...health } },
    problems: ['not_ready', 'database_unavailable'],
  },
  'GET /metrics': {
    tag: 'Operation',
    id: 'getMetrics',
    summary: 'Figures for Prometheus',
    public: true,
    successes: {
      200: { description: 'Text.', mediaType: 'text/plain', schema: { type: 'string' } },
    },
  },
  'GET /problems': {
    tag: 'Operation',
    id: 'listProblems',
    summary: 'Every problem, and what may be done about it',
    public: true,
    successes: page('A page for people.'),
  },
  'GET /problems/style.css': {
    tag: 'Operation',
    id: 'getProblemsStyle',
    summary: 'What those pages look like',
    public: true,
    successes: {
      200: { description: 'CSS.', mediaType: 'text/css', schema: { type: 'string' } },
    },
  },
  'GET /problems/{code}': {
    tag: 'Operation',
    id: 'getProblem',
    summary: 'What happened, why, what to do: where `type` of a problem points',
    public: true,
    path: { code: 'The `code` of a problem.' },
    successes: page('A page for people.'),
    problems: ['not_found'],
  },
  'GET /openapi.json': {
    tag: 'Operation',
    id: 'getOpenApi',
    summary: 'This document',
    public: true,
    successes: { 200: { description: 'OpenAPI 3.1.', schema: anyDocument } },
  },
  'GET /docs': {
    tag: 'Operation',
    id: 'getDocs',
    summary: 'This document for people (Swagger UI)',
    public: true,
    successes: page('A page; its files come from this server.'),
  },
  'GET /docs/{file}': {
    tag: 'Operation',
    id: 'getDocsFile',
    summary: 'A file of Swagger UI',
    public: true,
    path: { file: 'Its name.' },
    successes: {
      200: { description: 'The file.', mediaType: '*/*', schema: {} },
    },
    problems: ['not_found'],
  },
};

/** With LAB=1 only. */
export const LAB_ROUTES: Routes = {
  'POST /lab/naive/charges': {
    tag: 'Lab',
    id: 'chargeNaively',
    summary: 'The bug on purpose: take money without a key',
    description:
      'What most examples do. A lost response and a retry charge twice, and the ledgers agree about it. The API key is optional; without one it is the first demo account’s.',
    public: true,
    body: {
      ...chargeBody,
      examples: { charge: { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' } },
    },
    successes: {
      201: {
        description: 'The money was taken, once more.',
        schema: ref('NaiveCharge'),
        example: EXAMPLES.naiveCharge,
      },
    },
    problems: [
      'unauthorized',
      'not_found',
      'card_declined',
      'charge_failed',
      'processor_outcome_unknown',
      'processor_unavailable',
    ],
  },
  'GET /lab/ledger': {
    tag: 'Lab',
    id: 'getLedger',
    summary: 'Our books against the processor’s',
    description: '`difference`: what customers paid beyond what our rows know of, in minor units.',
    public: true,
    successes: {
      200: { description: 'All accounts.', schema: ref('Ledger'), example: EXAMPLES.ledger },
    },
    problems: ['processor_unavailable'],
  },
  'GET /lab/ledger.txt': {
    tag: 'Lab',
    id: 'getLedgerTable',
    summary: 'The same as a table for people',
    public: true,
    successes: {
      200: { description: 'Text.', mediaType: 'text/plain', schema: { type: 'string' } },
    },
    problems: ['processor_unavailable'],
  },
};
