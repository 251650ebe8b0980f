import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import type { TestApp } from '../support/app.js';
import { call, CHARGE, type Call, type Reply } from '../support/client.js';
import { document, expectMatchesOpenApi } from '../support/openapi.js';

/** Every operation of the document with its method. */
export const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    route: `${method.toUpperCase()} ${path}`,
    operation,
  })),
);

/** The routes that may answer with this status. */
export function having(status: number): string[] {
  return operations
    .filter(({ operation }) => String(status) in operation.responses)
    .map(({ route }) => route);
}

/** Calls routes of the document, and knows which of its answers it has seen. */
export class Answers {
  /** `POST /charges 201`, for every answer that was received and fits. */
  readonly seen = new Set<string>();

  constructor(private readonly app: () => TestApp) {}

  /** Calls `route` with its variables filled in, and checks the answer against the document. */
  readonly call = async (
    route: string,
    status: number,
    values: Record<string, string> = {},
    { query = '', ...options }: Call & { query?: string } = {},
  ): Promise<Reply> => {
    const [method = '', template = ''] = route.split(' ');
    const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? 'unknown');
    const reply = await call(this.app(), path + query, { method, ...options });
    expect({ route, status: reply.status, text: reply.text }).toMatchObject({ route, status });
    expectMatchesOpenApi(method, path, reply);
    this.seen.add(`${route} ${status}`);
    return reply;
  };

  /** Records an answer that another client received. */
  expectFits(route: string, reply: Reply): void {
    const [method = '', path = ''] = route.split(' ');
    expectMatchesOpenApi(method, path.replaceAll(/\{\w+\}/g, 'x'), reply);
    this.seen.add(`${route} ${reply.status}`);
  }

  /** The answers of the document that are missing in `seen`. */
  unseen(): string[] {
    const all = operations.flatMap(({ route, operation }) =>
      Object.keys(operation.responses).map((status) => `${route} ${status}`),
    );
    return all.filter((each) => !this.seen.has(each));
  }
}

const items = [{ sku: 'mug', quantity: 1, unit_amount: 1200 }];
export const ORDER = { currency: 'eur', items };

/** A body that the route accepts; undefined if it takes none. */
export function bodyFor(route: string): unknown {
  if (route === 'POST /orders' || route === 'PUT /orders/{id}') return ORDER;
  if (route.startsWith('PUT /products')) return { name: 'A mug', on_hand: 3 };
  if (route === 'POST /webhook-endpoints') return { url: 'http://127.0.0.1:9', events: ['*'] };
  if (/charges$/.test(route) && route.startsWith('POST')) return CHARGE;
  return route.startsWith('POST') ? {} : undefined;
}

type KeyedRoute = [route: string, values: Record<string, string>, body: object | undefined];

/** The request that makes each keyed route succeed. */
export async function keyedRoutes(answers: Answers): Promise<KeyedRoute[]> {
  const charge = await answers.call('POST /charges', 201, {}, { body: CHARGE });
  const id = `order_${randomUUID()}`;
  await answers.call('PUT /orders/{id}', 201, { id }, { body: ORDER });
  await answers.call('DELETE /orders/{id}', 204, { id });
  const events = await answers.call('GET /events', 200);
  const endpoint = { url: 'http://127.0.0.1:9/hooks', events: ['order.paid'] };
  const made = await answers.call('POST /webhook-endpoints', 201, {}, { body: endpoint });
  return [
    ['POST /charges', {}, CHARGE],
    ['POST /charges/{id}/refunds', { id: charge.body.id }, { amount: 1 }],
    ['POST /orders', {}, ORDER],
    ['POST /webhook-endpoints', {}, endpoint],
    ['POST /webhook-endpoints/{id}/rotate-secret', { id: made.body.id }, undefined],
    ['POST /events/{id}/resend', { id: events.body.data[0].id }, undefined],
  ];
}

/** Sends until a request is refused. The next one is refused, too, unless the rate limiter gains a token meanwhile. */
export async function useUpTheRate(limited: TestApp): Promise<void> {
  for (;;) {
    const [, other] = await Promise.all([
      call(limited, '/charges'),
      call(limited, '/charges'),
      call(limited, '/charges'),
    ]);
    if (other?.status === 429) return;
  }
}
