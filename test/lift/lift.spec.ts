import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '../support/until.js';
import {
  buildLiftedApp,
  emptyDatabase,
  isReplay,
  sendTo,
  startLiftedApp,
  type LiftedProcess,
} from './lifted-app.js';
import { startPrinter, type Printer } from './printer.js';

/** The application of src/idempotency/README.md, built only from that page. */
let built: Awaited<ReturnType<typeof buildLiftedApp>>;
let database: Awaited<ReturnType<typeof emptyDatabase>>;
let printer: Printer;
let app: LiftedProcess;
const start = () =>
  startLiftedApp(built.home, { DATABASE_URL: database.url, PRINTER_URL: printer.url });

beforeAll(async () => {
  [built, database, printer] = await Promise.all([
    buildLiftedApp(),
    emptyDatabase(),
    startPrinter(),
  ]);
  app = await start();
});
afterAll(async () => {
  await app?.kill();
  await printer?.stop();
  await database?.drop();
  await built?.remove();
});

const send = (path: string, key?: string, body?: object, headers = {}) =>
  sendTo(app.url + path, key, body, headers);
const invite = (key: string, body: object = { email: 'ann@example.com' }) =>
  send('/invitations', key, body);
const badge = (key: string, name = 'Ann', headers = {}) => send('/badges', key, { name }, headers);
const lookUp = async (key: string) => (await send(`/idempotency-keys/${key}`)).body;

/** Counts the objects; without the engine there would be two. */
async function count(table: 'invitations' | 'badges', value: string): Promise<number> {
  const column = table === 'invitations' ? 'email' : 'name';
  const { rowCount } = await database.db.query(`SELECT 1 FROM ${table} WHERE ${column} = $1`, [
    value,
  ]);
  return rowCount ?? 0;
}
const printed = (name: string) => printer.printed.filter((each) => each.name === name).length;
const record = (sql: string, key: string) =>
  database.db.query(`UPDATE idempotency_records SET ${sql} WHERE key = $1`, [key]);

const KINDS = [
  { kind: 'one beat', path: '/invitations', member: 'email', table: 'invitations' },
  { kind: 'three beats', path: '/badges', member: 'name', table: 'badges' },
] as const;

describe.each(KINDS)('an operation with $kind', ({ path, member, table }) => {
  test('replays its answer byte for byte', async () => {
    const value = `replay ${path}`;
    const body = { [member]: value };
    const first = await send(path, `replay${path}`, body);
    const again = await send(path, `replay${path}`, body);
    expect(first).toMatchObject({ status: 201, body });
    expect([isReplay(first), isReplay(again)]).toEqual([false, true]);
    expect(again.status).toBe(201);
    expect(again.text).toBe(first.text);
    for (const name of ['content-type', 'idempotency-expires'])
      expect(again.headers.get(name)).toBe(first.headers.get(name));
    expect(first.headers.has('original-request-id')).toBe(false);
    expect(again.headers.has('original-request-id')).toBe(true);
    expect(await count(table, value)).toBe(1);
    await send(path, `replay${path} 2`, body);
    expect(await count(table, value)).toBe(2); // another key is another intent
  });

  test('runs once for fifty concurrent requests', async () => {
    const value = `fifty ${path}`;
    const fifty = Array.from({ length: 50 }, () =>
      send(path, `fifty${path}`, { [member]: value }, { prefer: 'wait=30' }),
    );
    const replies = await Promise.all(fifty);
    expect(new Set(replies.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(replies[0]!.status).toBe(201);
    expect(replies.filter((reply) => !isReplay(reply))).toHaveLength(1);
    expect(await count(table, value)).toBe(1);
  });

  test('refuses the same key with another body', async () => {
    const key = `reused${path}`;
    await send(path, key, { [member]: 'this' });
    expect(await send(path, key, { [member]: 'that' })).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused', retry: 'no', mismatched: [`/${member}`] },
    });
    expect(await count(table, 'that')).toBe(0);
  });

  test('leaves the key unused when the request is refused', async () => {
    const key = `refused${path}`;
    expect((await send(path, key, { [member]: 1 })).status).toBe(400);
    expect((await send(`/idempotency-keys/${encodeURIComponent(key)}`)).status).toBe(404);
    const corrected = await send(path, key, { [member]: 'corrected' });
    expect([corrected.status, isReplay(corrected)]).toEqual([201, false]);
  });

  test('needs a key', async () => {
    const body = { [member]: 'keyless' };
    expect(await send(path, undefined, body)).toMatchObject({
      status: 400,
      body: { code: 'idempotency_key_missing', retry: 'after_fix' },
    });
    expect(await count(table, 'keyless')).toBe(0);
  });
});

test('an expired key runs nothing again, before and after the reaper', async () => {
  const expired = await Promise.all(
    KINDS.map(async ({ path, member, table }) => {
      const [key, value] = [`expired-${table}`, `expired ${path}`];
      const { body } = await send(path, key, { [member]: value });
      await record(`expires_at = clock_timestamp() - interval '1 second'`, key);
      return { path, member, table, key, value, id: body.id };
    }),
  );
  const expectExpired = async () => {
    for (const { path, member, table, key, value, id } of expired) {
      expect(await send(path, key, { [member]: value })).toMatchObject({
        status: 409,
        body: { code: 'idempotency_key_expired', retry: 'no', resource: { id } },
      });
      expect(await lookUp(key)).toMatchObject({ state: 'expired', resource: { id } });
      expect(await count(table, value)).toBe(1);
    }
  };
  await expectExpired();
  await app.kill('SIGTERM'); // a graceful stop; the next process reaps when it starts
  app = await start();
  await until(async () => {
    const left = await database.db.query('SELECT 1 FROM idempotency_records WHERE key = ANY($1)', [
      expired.map(({ key }) => key),
    ]);
    return left.rowCount === 0;
  });
  await expectExpired();
});

test('an invitation whose transaction fails leaves the key unused', async () => {
  const nul = await invite('fails', { email: 'a\u0000b' }); // PostgreSQL rejects this string
  expect(nul.status).toBe(500);
  expect((await invite('fails')).status).toBe(201);
});

describe('while the printer works', () => {
  test('a duplicate waits for the answer, or gets 409 if it does not want to wait', async () => {
    const open = printer.close();
    const first = badge('waits', 'Waits');
    await printer.held(1);
    const waited = badge('waits', 'Waits', { prefer: 'wait=30' });
    expect(await badge('waits', 'Waits', { prefer: 'wait=0' })).toMatchObject({
      status: 409,
      body: { code: 'idempotency_request_in_progress', retry: 'same_key' },
    });
    expect(await badge('waits', 'Other')).toMatchObject({ status: 422 });
    open();
    const [one, two] = await Promise.all([first, waited]);
    expect(two).toMatchObject({ status: 201, text: one.text });
    expect([isReplay(one), isReplay(two)]).toEqual([false, true]);
    expect(printer.asked(String(one.body.id))).toBe(1);
  });

  test('no transaction is open', async () => {
    const open = printer.close();
    const first = badge('no transaction', 'No transaction');
    await printer.held(1);
    const { rows } = await database.db.query(
      `SELECT state FROM pg_stat_activity
       WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`,
    );
    open();
    expect(rows.filter(({ state }) => state === 'idle in transaction')).toEqual([]);
    expect((await first).status).toBe(201);
  });
});

test('a final refusal of the printer is an outcome: stored and replayed', async () => {
  const first = await badge('refused badge', '');
  expect(first).toMatchObject({ status: 201, body: { status: 'refused' } });
  expect((await badge('refused badge', '')).text).toBe(first.text);
  expect(printer.asked(String(first.body.id))).toBe(1);
});

test('an unknown outcome is not stored: the same key continues, and the badge is printed once', async () => {
  printer.failNext();
  expect((await badge('unknown', 'Unknown')).status).toBe(503);
  const again = await badge('unknown', 'Unknown');
  expect(again).toMatchObject({ status: 201, body: { status: 'printed' } });
  expect(printed('Unknown')).toBe(1);
});

describe('after a kill -9 between reserve and settle', () => {
  /** Two reserved badges whose printing has an unknown outcome. */
  beforeAll(async () => {
    const open = printer.close();
    const lost = [badge('retry', 'Retry'), badge('sweep', 'Sweep')].map((sent) =>
      sent.catch(() => 'no answer'),
    );
    await printer.held(2);
    await app.kill();
    expect(await Promise.all(lost)).toEqual(['no answer', 'no answer']);
    open();
    await until(async () => printed('Retry') === 1 && printed('Sweep') === 1);
    // Longer than a slow start of the next process, so that its sweep leaves this badge alone.
    await record(
      `lease_expires_at = clock_timestamp() + interval '1 hour', next_attempt_at = clock_timestamp() + interval '1 hour'`,
      'retry',
    );
    await record(`lease_expires_at = clock_timestamp()`, 'sweep');
    app = await start();
  });

  test('the retry continues from the row', async () => {
    expect(await badge('retry', 'Retry', { prefer: 'wait=0' })).toMatchObject({
      status: 409,
      body: { code: 'idempotency_request_in_progress', retry: 'same_key' },
    });
    await record(`lease_expires_at = clock_timestamp()`, 'retry');
    const answer = await badge('retry', 'Retry');
    expect(answer).toMatchObject({ status: 201, body: { name: 'Retry', status: 'printed' } });
    expect(await lookUp('retry')).toMatchObject({ state: 'completed', attempts: 2 });
    expect((await badge('retry', 'Retry')).text).toBe(answer.text);
    expect([await count('badges', 'Retry'), printed('Retry')]).toEqual([1, 1]);
    expect(printer.asked(String(answer.body.id))).toBe(2);
  });

  test('the sweep finishes it without a retry', async () => {
    await until(async () => (await lookUp('sweep')).state === 'completed');
    expect(await lookUp('sweep')).toMatchObject({ status: 201, attempts: 2 });
    expect([await count('badges', 'Sweep'), printed('Sweep')]).toEqual([1, 1]);
    const late = await badge('sweep', 'Sweep');
    expect([late.status, isReplay(late)]).toEqual([201, true]);
  });
});
