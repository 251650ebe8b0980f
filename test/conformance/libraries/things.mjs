// What the applications of this folder share: two accounts, and things that are made, listed and counted in memory.
// They are not idempotent: that is the libraries' part.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

const ACCOUNTS = { 'Bearer test-account-one': 'one', 'Bearer test-account-two': 'two' };
const things = { one: [], two: [] };
const broken = new Set();

export const accountOf = ({ headers }) => ACCOUNTS[headers.authorization];

/**
 * A purchase takes 20 ms; with the card `slow`, a second. With the card `breaks`, the first one of a name is made and
 * answered with 500.
 * @returns the status and body of the answer.
 */
export async function make(account, body) {
  if (!(body?.amount > 0)) return { status: 400, body: { error: 'amount is not positive' } };
  await delay(body.card === 'slow' ? 1000 : 20);
  if (body.card === 'declined') return { status: 402, body: { error: 'declined' } };
  const thing = { id: randomUUID(), ...body };
  things[account].unshift(thing);
  if (body.card === 'breaks' && !broken.has(body.name)) {
    broken.add(body.name);
    return { status: 500, body: { error: 'failed after the purchase' } };
  }
  return { status: 201, body: thing };
}

export const list = (account) => ({ data: things[account].slice(0, 100) });

/** The first middleware of both servers. The idempotency library runs after it. */
export function authenticate(request, response, next) {
  request.account = accountOf(request);
  if (request.account) next();
  else response.status(401).json({ error: 'unauthorized' });
}
