import { randomUUID } from 'node:crypto';
import {
  Body,
  Controller,
  Injectable,
  Module,
  Post,
  Scope,
  UseInterceptors,
  VersioningType,
  type CallHandler,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
  type Provider,
  type Type,
} from '@nestjs/common';
import { APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { map, tap } from 'rxjs';
import { IdempotencyModule } from '../../../src/idempotency/idempotency.module.js';
import { Idempotent } from '../../../src/idempotency/idempotent.interceptor.js';
import { OperationRegistry, type Plan } from '../../../src/idempotency/operation.js';
import { freshDatabase } from '../../support/database.js';
import { isReplay, sendTo } from '../../lift/lifted-app.js';

/** The engine in applications that are mounted in other ways than the page shows. */
let database: Awaited<ReturnType<typeof freshDatabase>>;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

let app: INestApplication | undefined;
afterEach(async () => {
  await app?.close();
  app = undefined;
});

/** Answers with the status that the body asks for, and writes no row. */
function answerAs(body: { status?: number }): Plan {
  const answer = {
    status: body.status ?? 201,
    headers: { 'Content-Type': 'application/json' },
    body: `{ "id" : "${randomUUID()}" }`, // spaces that JSON.stringify never writes
  };
  return { reserve: async () => ({ answer }) };
}

@Controller('tickets')
class Tickets {
  @Post()
  @Idempotent()
  create(@Body() body: { status?: number }): Plan {
    return answerAs(body);
  }
}

@Controller({ path: 'tickets', version: '1' })
class VersionedTickets extends Tickets {}

@Injectable()
class Envelope implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

@Injectable({ scope: Scope.REQUEST })
class EnvelopeOfRequest extends Envelope {}

let observed = 0;
@Injectable()
class Observer implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(tap(() => (observed += 1)));
  }
}

@Controller('tickets')
@UseInterceptors(Envelope)
class WrappedTickets extends Tickets {}

@Controller('tickets')
class TicketsWithWrappedHandler {
  @Post()
  @UseInterceptors(new Envelope())
  @Idempotent()
  create(@Body() body: { status?: number }): Plan {
    return answerAs(body);
  }
}

@Controller('tickets')
@UseInterceptors(Observer)
class ObservedTickets extends Tickets {}

interface Mounting {
  controller?: Type<unknown>;
  /** The operation's name. Default: the one for the plain controller. */
  operation?: string;
  providers?: Provider[];
  options?: Partial<Parameters<typeof IdempotencyModule.forRoot>[0]>;
  mount?: (app: INestApplication) => unknown;
}

/** @returns the URL. */
async function start(mounting: Mounting = {}): Promise<string> {
  const { controller = Tickets, operation = 'POST /tickets', providers = [], options } = mounting;
  @Injectable()
  class TicketOperation {
    constructor(operations: OperationRegistry) {
      operations.register({ name: operation, idPrefix: 'tck', find: async () => undefined });
    }
  }
  @Module({
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url: database.url, installExtensions: false }),
      IdempotencyModule.forRoot({
        ...{ waitMs: 1_000, ttlSeconds: 60, leaseMs: 10_000, reapIntervalMs: 60_000 },
        roles: ['http'],
        facts: { accountId: () => 'acct_mounting', requestId: () => randomUUID() },
        ...options,
      }),
    ],
    controllers: [controller],
    providers: [TicketOperation, ...providers],
  })
  class AppModule {}
  app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
  mounting.mount?.(app);
  await app.listen(0, '127.0.0.1');
  return app.getUrl();
}

async function expectReplay(url: string, body = {}, status = 201, headers = {}): Promise<void> {
  const key = randomUUID();
  const send = () => sendTo(url, key, body, headers);
  const [first, again] = [await send(), await send()];
  expect([first.status, again.status]).toEqual([status, status]);
  expect([isReplay(first), isReplay(again)]).toEqual([false, true]);
  expect(first.text).toMatch(/^\{ "id" : "[\w-]+" \}$/);
  expect(again.text).toBe(first.text);
  expect(again.headers.get('idempotency-key')).toBe(key);
}

describe('with a global prefix and a version in the path', () => {
  const prefixed = (controller = VersionedTickets): Mounting => ({
    controller,
    mount: (made) => made.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI }),
  });

  test('keys work, and so does their lookup', async () => {
    const url = await start({ ...prefixed(), operation: 'POST /api/v1/tickets' });
    await expectReplay(`${url}/api/v1/tickets`);
    await sendTo(`${url}/api/v1/tickets`, 'looked up', {});
    expect(await sendTo(`${url}/api/idempotency-keys/looked%20up`)).toMatchObject({
      status: 200,
      body: { key: 'looked up', operation: 'POST /api/v1/tickets', state: 'completed' },
    });
  });

  test.each(['POST /tickets', 'POST /api/tickets', 'POST /v1/tickets'])(
    'an operation with the name %s is refused at boot',
    async (operation) => {
      await expect(start({ ...prefixed(), operation })).rejects.toThrow(
        `POST /api/v1/tickets is @Idempotent(), but no operation of that name is registered (registered: ${operation}).`,
      );
    },
  );
});

test('with a version in a header keys work', async () => {
  const url = await start({
    controller: VersionedTickets,
    mount: (made) =>
      made.enableVersioning({
        type: VersioningType.HEADER,
        header: 'version',
        defaultVersion: '1',
      }),
  });
  await expectReplay(`${url}/tickets`, {}, 201, { version: '1' });
});

test('a route without a registered operation is refused at boot', async () => {
  await expect(start({ operation: 'POST /invoices' })).rejects.toThrow(
    'POST /tickets is @Idempotent(), but no operation',
  );
});

test.each([2_000, 0, NaN])('a lease of %d ms is refused at boot', async (leaseMs) => {
  await expect(start({ options: { leaseMs } })).rejects.toThrow(
    `leaseMs is ${leaseMs}, but 2000 ms of each lease are reserved for the database`,
  );
});

describe('an interceptor that wraps answers', () => {
  test.each<[string, Mounting]>([
    ['by the application', { mount: (made) => made.useGlobalInterceptors(new Envelope()) }],
    ['by a module', { providers: [{ provide: APP_INTERCEPTOR, useClass: Envelope }] }],
    [
      'by a module, made for each request',
      { providers: [{ provide: APP_INTERCEPTOR, useClass: EnvelopeOfRequest }] },
    ],
    ['by the controller', { controller: WrappedTickets }],
    ['by the handler', { controller: TicketsWithWrappedHandler }],
  ])('is refused at boot when it is mounted %s', async (_by, mounting) => {
    await expect(start(mounting)).rejects.toThrow(
      /^Envelope\w* runs on \w+\.create, which is @Idempotent\(\).*passThroughInterceptors.*$/,
    );
  });

  test('writes nothing when it is declared harmless by mistake and breaks the plan', async () => {
    const url = await start({
      controller: WrappedTickets,
      options: { passThroughInterceptors: [Envelope] },
    });
    expect((await sendTo(`${url}/tickets`, 'broken', {})).status).toBe(500);
    expect((await sendTo(`${url}/idempotency-keys/broken`)).status).not.toBe(200);
  });
});

test.each<[string, Mounting]>([
  ['outside of the engine', { mount: (made) => made.useGlobalInterceptors(new Observer()) }],
  ['inside of it', { controller: ObservedTickets }],
])('an interceptor that changes nothing runs %s', async (_where, mounting) => {
  const url = await start({ ...mounting, options: { passThroughInterceptors: [Observer] } });
  observed = 0;
  await expectReplay(`${url}/tickets`);
  expect(observed).toBeGreaterThan(0);
});

describe('which statuses are final', () => {
  test('is 2xx by default: any other answer is a 500, and the key stays unused', async () => {
    const url = `${await start()}/tickets`;
    for (const status of [301, 402, 409, 503])
      expect((await sendTo(url, 'unfinal', { status })).status).toBe(500);
    const first = await sendTo(url, 'unfinal', { status: 202 });
    expect([first.status, isReplay(first)]).toEqual([202, false]);
  });

  test('is an option', async () => {
    const url = await start({ options: { isFinal: (status) => status === 409 } });
    await expectReplay(`${url}/tickets`, { status: 409 }, 409);
    expect((await sendTo(`${url}/tickets`, 'created', {})).status).toBe(500);
  });
});
