import type { Answer } from '../idempotency/operation.js';
import { PROBLEM_TYPE, problemBody, type Problem } from './problems/problem.js';

const JSON_TYPE = 'application/json; charset=utf-8';

/** 201 with `Location`: an object was made. */
export function created(url: string, wire: object, headers: Record<string, string> = {}): Answer {
  return {
    status: 201,
    headers: { 'Content-Type': JSON_TYPE, Location: url, ...headers },
    body: JSON.stringify(wire),
  };
}

/** 200: something that exists was used, nothing that has a URL was made. */
export function ok(wire: object): Answer {
  return { status: 200, headers: { 'Content-Type': JSON_TYPE }, body: JSON.stringify(wire) };
}

/** A definite no that is stored: a problem as the answer. */
export function problemAnswer(problem: Problem, requestId: string): Answer {
  return {
    status: problem.status,
    headers: { 'Content-Type': PROBLEM_TYPE },
    body: JSON.stringify(problemBody(problem, requestId)),
  };
}
