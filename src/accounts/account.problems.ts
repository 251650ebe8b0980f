import type { ProblemType } from '../idempotency/problem-types.js';

export const UNAUTHORIZED = {
  code: 'unauthorized',
  status: 401,
  retry: 'after_fix',
  title: 'Unauthorized',
  what: 'The request carried no API key, an unknown one, or one that was revoked.',
  why: 'Every call needs `Authorization: Bearer <api key>`, except the index, the routes for health, metrics, documentation, problems and the lab, and the processor’s webhook.',
  todo: 'Send a valid key. Any API key of the account may retry a request that another one began: idempotency keys belong to the account.',
  headers: ['WWW-Authenticate'],
} as const satisfies ProblemType;
