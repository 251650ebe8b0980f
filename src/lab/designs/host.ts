import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { ProcessorSilent, type Design, type Purchase, type Reply, type World } from './design.js';
import { report } from '../program/trouble.js';
import { GALLERY } from './gallery.js';
import { note, options, send, trip } from './trip.js';
import { paidBy, worldOf } from './world.js';

// A process that serves every design of the gallery, and that can be killed or frozen at a point of a request. No
// design sees a request without credentials, one key and a valid body.
//   POST /designs/<design>/charges   what the design does with a purchase
//   GET /designs/<design>/charges    what the account has paid through it, according to the processor's ledger
//   GET /designs/<design>/count      a page of the shop: one read

/** The accounts, by their API keys. */
const ACCOUNTS = new Set(['first', 'second']);
const worlds = new Map(Object.keys(GALLERY).map((id) => [id, worldOf(id)]));

const server = createServer((request, response) => {
  const header = headerOf(request);
  const [run = '', attempt] = header('lab-run').split('.');
  const hold = /^hold-(.+)$/.exec(header('lab-fault'))?.[1];
  trip.run({ run, attempt: Number(attempt), holdAt: hold }, () => {
    serve(request, response).catch((error: unknown) => {
      report('a request of the gallery failed', error);
      response.destroy();
    });
  });
});
server.listen(options.port, '127.0.0.1', () => {
  send({ port: (server.address() as AddressInfo).port });
});

function headerOf({ headers }: IncomingMessage) {
  return (name: string) => String(headers[name] ?? '');
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, , design = '', action] = (request.url ?? '').split(/[/?]/);
  const world = worlds.get(design);
  const isLost = request.headers['lab-fault'] === 'lose-response';
  const reply = world ? await replyOf(request, design, action, world) : refusal(404, 'not_found');
  note({ kind: 'response', from: 'api', to: 'client', text: String(reply.status), lost: isLost });
  if (isLost) request.socket.destroy();
  else response.writeHead(reply.status, { 'Content-Type': 'application/json' }).end(reply.body);
  await reply.afterwards?.();
}

async function replyOf(
  request: IncomingMessage,
  design: string,
  action: string | undefined,
  world: World,
): Promise<Reply> {
  if (action === 'count') {
    await world.db.query('SELECT 1');
    return { status: 200, body: '' };
  }
  if (action !== 'charges') return refusal(404, 'not_found');
  const account = headerOf(request)('authorization').replace('Bearer ', '');
  if (!ACCOUNTS.has(account)) return refusal(401, 'unauthorized');
  if (request.method === 'GET')
    return { status: 200, body: JSON.stringify({ data: await paidBy(design, account) }) };
  if (request.method !== 'POST') return refusal(405, 'method_not_allowed');
  if (!/^application\/json\b/.test(headerOf(request)('content-type')))
    return refusal(415, 'unsupported_media_type');
  const [key = '', ...more] = request.headersDistinct['idempotency-key'] ?? [];
  if (!/^[\x21-\x7e]{1,255}$/.test(key) || more.length > 0)
    return refusal(400, 'send one Idempotency-Key of 1 to 255 visible ASCII characters');
  const body = await text(request);
  const members = membersOf(body);
  if (!members) return refusal(400, 'validation_failed');
  return charge(GALLERY[design]!, { ...members, account, key, text: body }, world);
}

/** Undefined if the body is not valid. */
function membersOf(body: string): Omit<Purchase, 'account' | 'key' | 'text'> | undefined {
  try {
    const { amount, currency, payment_method, description } = (JSON.parse(body) ?? {}) as Purchase;
    const isValid = Number.isInteger(amount) && amount > 0;
    return isValid ? { amount, currency, payment_method, description } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function charge(design: Design, purchase: Purchase, world: World): Promise<Reply> {
  try {
    return await design.charge(purchase, world);
  } catch (error) {
    if (error instanceof ProcessorSilent) return refusal(500, 'processor_silent');
    report(`the design ${design.title} failed`, error);
    return refusal(500, 'internal_error');
  }
}

function refusal(status: number, code: string): Reply {
  return { status, body: JSON.stringify({ code }) };
}
