import { expect } from '@jest/globals';
import { ledger } from '../../support/books.js';
import { charge, type Reply } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';

/** Ages of a charge, in seconds. */
export const PAST_THE_DEADLINE = 301;
export const PAST_THE_KEY_WINDOW = 21 * 3600;

export function expectAbandoned(reply: Reply): void {
  expect(reply).toMatchObject({
    status: 402,
    body: { code: 'charge_failed', failure_code: 'abandoned', retry: 'new_key' },
  });
}

/** The canceled intents that the processor has under the key of this charge. */
export const fencesOf = async ({ sandboxUrl }: Service, id: string) =>
  (await ledger(sandboxUrl)).filter(({ metadata }) => metadata.fence === id);

/** Sends a charge whose answer from the processor is lost, or which does not reach the processor. */
export async function leaveOpen(
  { apiUrl, gate }: Service,
  key: string,
  mood: 'losing' | 'refusing',
): Promise<string> {
  gate.be(mood);
  const reply = await charge(apiUrl, key);
  gate.be('open');
  const [status, code] =
    mood === 'losing' ? [504, 'processor_outcome_unknown'] : [503, 'processor_unavailable'];
  expect(reply).toMatchObject({ status, body: { code, retry: 'same_key' } });
  return reply.body.charge;
}
