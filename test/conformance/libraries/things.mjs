// What the applications of this folder share: two accounts, and things that are made, listed and counted in memory. No
// idempotency: that is the libraries' part.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

const ACCOUNTS = { 'Bearer test-account-one': 'one', 'Bearer test-account-two': 'two' };
const things = { one: [], two: [] };

export const accountOf = ({ headers }) => ACCOUNTS[headers.authorization];

/** @returns the status and body of an answer; a purchase takes 20 ms, a slow one a second. One that breaks is made. */
export async function make(account, body) {
  if (!(body?.amount > 0)) return { status: 400, body: { error: 'amount is not positive' } };
  await delay(body.card === 'slow' ? 1000 : 20);
  if (body.card === 'declined') return { status: 402, body: { error: 'declined' } };
  const thing = { id: randomUUID(), ...body };
  things[account].unshift(thing);
  if (body.card === 'breaks') return { status: 500, body: { error: 'failed after the purchase' } };
  return { status: 201, body: thing };
}

export const list = (account) => ({ data: things[account].slice(0, 100) });

/** As a middleware, before all others: both libraries come after it. */
export function authenticate(request, response, next) {
  request.account = accountOf(request);
  if (request.account) next();
  else response.status(401).json({ error: 'unauthorized' });
}
