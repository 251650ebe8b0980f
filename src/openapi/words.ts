import { RETRY_MEANS } from '../problems/retry-means.js';

export const RULE = 'One key per purchase; a retry reuses it; a new key is a new charge.';

/**
 * An object of a list appears this long after its `created_at` at the latest. PostgreSQL ends a statement after 10 s,
 * and a transaction that is idle for 15 s. No transaction has more than 24 statements, so none lasts longer. Proof:
 * test/white-box/operation/lists.spec.ts.
 */
export const OVERLAP_MINUTES = 10;

export const INTRODUCTION = `Takes a customer's money once for each purchase, even if messages are lost or repeated and processes are killed.

## Keys

**${RULE}**

1. Make the key when the purchase begins and keep it with the purchase: \`order_8472_charge_attempt_1\`, or a random UUID that is stored before anything is sent. Never make it from a clock, a price or a delivery counter. A clock or a price can give one purchase two keys, or two purchases one key. A delivery counter gives every retry a new key.
2. Send it as \`Idempotency-Key\` with every attempt of that purchase, with the same body.
3. After a broken connection, a timeout, or any answer with \`retry: same_key\`, send the same request with the same key. You get the outcome of the first attempt.
4. Make a new key only for a new purchase, or after \`retry: new_key\`, when a person or a rule decides to try again.
5. Name an \`order\` in the charge. A second payment of that order is refused, whatever the key.

## What a machine may do

Every 4xx and 5xx is \`application/problem+json\` with \`retry\`. A client that obeys it never pays twice:

| \`retry\` | what may be done |
|---|---|
${Object.entries(RETRY_MEANS)
  .map(([retry, means]) => `| \`${retry}\` | ${means} |`)
  .join('\n')}

An agent that lost its context, and with it the key, must not invent a key. It reads the key from the purchase, checks \`GET /charges?order=\`, or asks a person. 404 from \`GET /idempotency-keys/{key}\` says that nothing has taken effect *so far*; the next step is the same request with the same key. An answer that this API did not write (a proxy's 502, or none at all) counts as \`same_key\`.

## What is stored

A 2xx and a 402 are stored under the key and replayed for 7 days, with the same status and the same bytes. A refusal before anything is written (400, 401, 404, 409, 412, 413, 415, 422, 429) is never stored and does not change the key. A 5xx is never stored either. After 7 days the key creates nothing new: its object still exists, and the answer is 409 \`idempotency_key_expired\`.

## How this API decides what standards leave open

- A path that does not exist is 404, a method that a path does not have is 405 with \`Allow\`; both come before authentication, and neither is listed at each route below. HEAD is GET without a body.
- Two simultaneous requests with one key: one runs, the other waits for its answer (5 s, or \`Prefer: wait\`) and gets it as a replay. Stripe answers 409 at once; waiting saves the client a retry.
- The same key with another body, path or query is 422, also while the first is still running (as the IETF draft recommends). Member order and white space do not matter, array order does, and \`null\` is not the same as absent.
- A key belongs to the account, not to the API key: a rotated API key still replays.
- A used key gets its stored answer before the body is validated. A refused body does not use up an unused key.
- 504 and not 202 when the processor does not answer: a 2xx would make careless merchants ship.
- Unknown members, unknown query parameters and \`null\` are refused, not ignored: an ignored one would not do what you meant.
- PUT and DELETE ignore \`Idempotency-Key\`: they are idempotent by nature. After a lost answer, send the same request again. A PUT with \`If-None-Match: *\` is then 412 if the first one took effect: GET shows whether the object is yours.
- A valid \`traceparent\` (W3C Trace Context) becomes \`trace_id\` in our logs and is sent to the processor. Version 00 is sent unchanged; a later version is sent as version 00. An invalid one is ignored.

## Following a list

Lists are for people who look something up. They show the newest first, by \`created_at\` (the time at which the object's transaction began), then by id. An object appears when its transaction commits, which may be up to ${OVERLAP_MINUTES} minutes later. So a client that asks only for newer objects than the last one it knows (\`ending_before\`) can miss one, also in the list of events. An object that \`npm run reconcile\` rebuilds after a restore has the time of its payment: read the whole list then.

- To follow what happens, register a webhook endpoint: each event is delivered at least once, whenever it commits.
- A client that polls reads from the newest back, with \`starting_after\`, until \`created_at\` is more than ${OVERLAP_MINUTES} minutes before the newest one that it knew, and drops the ids that it knows.

## Limits

Requests of an account pass a token bucket (100 a second, 200 at once by default), in the memory of each API process: several processes allow several times that. \`RateLimit\` on every authenticated answer shows what is left; a replay counts like any request. Lists use at most a third of a process's database connections, and the lists of one account at most half of those. A list that gets no turn within 2 s is 429 as well. 429 \`rate_limited\` comes before the key is read, so it does not change the key.
`;
