import type { Logger } from '@nestjs/common';
import type { Performed } from '../idempotency/operation.js';
import { Problem } from '../http/problems/problem.js';
import type { Ending } from './abandon.js';
import {
  PROCESSOR_OUTCOME_UNKNOWN,
  PROCESSOR_UNAVAILABLE,
} from '../processor/processor.problems.js';

/**
 * The processor gave no final answer: the object stays pending, and recovery continues it. For charges and refunds.
 * @param texts for the waiting client: `unknown` if an attempt may have had an effect, `nothing` if no attempt had one.
 */
export function staysPending<Outcome>(
  id: string,
  answer: Ending,
  log: Logger,
  texts: { unknown: string; nothing: string; extensions: Record<string, unknown> },
): Performed<Outcome> {
  if (answer.kind === 'refused' || answer.kind === 'unknown') {
    const alarms = answer.kind === 'refused' && answer.alarm;
    log[alarms ? 'error' : 'warn'](`${id} stays pending: ${answer.reason}`);
  }
  return {
    ended: false,
    inDoubt: answer.kind === 'unknown',
    error: (inDoubt, retryAfterSeconds) =>
      new Problem(
        inDoubt ? PROCESSOR_OUTCOME_UNKNOWN : PROCESSOR_UNAVAILABLE,
        inDoubt ? texts.unknown : texts.nothing,
        {
          extensions: texts.extensions,
          headers: { 'Retry-After': String(retryAfterSeconds) },
        },
      ),
  };
}
