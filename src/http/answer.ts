import type { Answer } from '../idempotency/operation.js';
import { PROBLEM_TYPE, problemBody, type Problem } from './problems/problem.js';

const JSON_TYPE = 'application/json; charset=utf-8';

export function created(url: string, wire: object, headers: Record<string, string> = {}): Answer {
  return {
    status: 201,
    headers: { 'Content-Type': JSON_TYPE, Location: url, ...headers },
    body: JSON.stringify(wire),
  };
}

/** 200: nothing with a URL was created. */
export function ok(wire: object): Answer {
  return { status: 200, headers: { 'Content-Type': JSON_TYPE }, body: JSON.stringify(wire) };
}

/** A definite refusal that is stored as the answer: a problem. */
export function problemAnswer(problem: Problem, requestId: string): Answer {
  return {
    status: problem.status,
    headers: { 'Content-Type': PROBLEM_TYPE },
    body: JSON.stringify(problemBody(problem, requestId)),
  };
}
