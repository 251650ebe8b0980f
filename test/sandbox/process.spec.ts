import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import { SandboxConfigError, readSandboxConfig } from '../support/internals.js';
import { built } from '../support/build.js';
import { startSandboxProcess, type SandboxProcess } from '../support/sandbox-process.js';
import { until } from '../support/until.js';
import {
  countPaid,
  databaseUrl,
  endLease,
  onceUnlocked,
  payment,
  post,
  sql,
  start,
  useFreshLedger,
  waitForKey,
} from './sandbox.support.js';
import { startReceiver, type Receiver } from './webhook-receiver.js';

const MAIN = built('src/sandbox/main.js');
/** The same, but its slow payments end on a message, not by a clock. */
const HELD = 'test/support/held-sandbox.mjs';
const children: ChildProcess[] = [];

const receivers: Receiver[] = [];

let dropLedger: () => Promise<void>;
beforeAll(async () => {
  dropLedger = await useFreshLedger();
});
afterAll(() => dropLedger());
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const receiver of receivers.splice(0)) await receiver.stop();
});

describe('the sandbox as a process', () => {
  it('killed by SIGKILL during a request, takes the money once when the key is sent again', async () => {
    const { url, child } = await run({}, HELD);
    const test = randomUUID();
    const form = payment('pm_lab_slow', test);
    const lost = post({ url }, '/v1/payment_intents', form, { key: test });
    await waitForKey(test);
    child.kill('SIGKILL');
    await expect(lost).rejects.toThrow();
    expect(await countPaid(test)).toBe(0);

    const next = await run();
    const again = () => post(next, '/v1/payment_intents', form, { key: test });
    expect((await again()).status).toBe(409); // until the lease of the dead process expires
    await endLease(test);
    expect((await onceUnlocked(again)).status).toBe(200);
    expect(await countPaid(test)).toBe(1);
  });

  it('killed by SIGKILL after the commit, replays the answer that it never sent', async () => {
    const { url, child } = await run();
    const test = randomUUID();
    const form = payment('pm_lab_timeout', test);
    const lost = post({ url }, '/v1/payment_intents', form, { key: test });
    lost.catch(() => undefined);
    await until(async () => (await countPaid(test)) === 1);
    child.kill('SIGKILL');
    await expect(lost).rejects.toThrow();
    const next = await run();
    const reply = await onceUnlocked(() => post(next, '/v1/payment_intents', form, { key: test }));
    expect(reply.headers.get('idempotent-replayed')).toBe('true');
    expect(await countPaid(test)).toBe(1);
  });

  it('finishes running requests on SIGTERM, drops connections that get no answer, and exits 0', async () => {
    const { url, child } = await run({}, HELD);
    const pay = (method: string, key: string) =>
      post({ url }, '/v1/payment_intents', payment(method), { key });
    const keys = [randomUUID(), randomUUID()] as const;
    const gone = expect(pay('pm_lab_timeout', keys[0])).rejects.toThrow();
    const slow = pay('pm_lab_slow', keys[1]);
    await waitForKey(...keys);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await gone; // proof that it is stopping
    child.send('end what is slow');
    expect((await slow).body).toMatchObject({ status: 'succeeded' });
    expect(await exit).toEqual([0, null]);
  });

  it('killed by SIGKILL before a notification was accepted, sends it again', async () => {
    const receiver = await receive();
    const test = randomUUID();
    const ours = () => receiver.received.filter(({ body }) => body.includes(test));
    receiver.answer((response, { body }) => void (body.includes(test) || response.end()));
    const { url, child } = await run(webhooksTo(receiver));
    await post({ url }, '/v1/payment_intents', payment('pm_card_visa', test));
    await until(async () => ours().length > 0);
    child.kill('SIGKILL');
    receiver.answer(200);
    await run(webhooksTo(receiver));
    // Only an answer counts as delivery, and the killed process got none.
    const delivered =
      'SELECT id FROM sandbox.events WHERE body LIKE $1 AND delivered_at IS NOT NULL';
    await until(async () => (await sql(delivered, [`%${test}%`])).rowCount === 1);
    expect(ours().length).toBeGreaterThan(1);
    expect(new Set(ours().map(({ id }) => id)).size).toBe(1);
  });

  it('stops on SIGTERM even if a notification is never answered', async () => {
    const receiver = await receive();
    receiver.answer(() => undefined);
    const { url, child } = await run(webhooksTo(receiver));
    await post({ url }, '/v1/payment_intents', payment('pm_card_visa'));
    await until(async () => receiver.received.length > 0);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  });

  it('stops when its parent ends', async () => {
    const { child } = await run();
    const exit = once(child, 'exit');
    child.disconnect();
    expect(await exit).toEqual([0, null]);
  });

  it.each([
    [
      'a taken port',
      async () => ({ SANDBOX_PORT: String(await takenPort()) }),
      78,
      /^port \d+ is taken/,
    ],
    [
      'a webhook without a secret',
      async () => ({ SANDBOX_WEBHOOK_URL: 'http://127.0.0.1:9/' }),
      78,
      /^SANDBOX_WEBHOOK_SECRET is missing/,
    ],
    [
      'a database that is away',
      async () => ({ DATABASE_URL: 'postgres://x@127.0.0.1:1/x' }),
      1,
      /ECONNREFUSED/,
    ],
  ])('says %s in one line', async (_what, environment, exitCode, line) => {
    const env = { ...process.env, DATABASE_URL: databaseUrl, ...(await environment()) };
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    const [[code], out, err] = await Promise.all([
      once(child, 'exit'),
      text(child.stdout),
      text(child.stderr),
    ]);
    expect(code).toBe(exitCode);
    expect(out).toBe('');
    expect(err).toMatch(line);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });
});

test.each([
  [{ DATABASE_URL: '' }, /^SANDBOX_DATABASE_URL \(or DATABASE_URL\) is missing/],
  [{ SANDBOX_WEBHOOK_URL: 'localhost:3000' }, /^SANDBOX_WEBHOOK_URL must be/],
  [{ SANDBOX_PORT: '70000' }, /^SANDBOX_PORT/],
])('the configuration %j is refused in one line', (env, line) => {
  const read = () => readSandboxConfig({ DATABASE_URL: databaseUrl, ...env });
  expect(read).toThrow(SandboxConfigError);
  expect(read).toThrow(line);
  expect(read).not.toThrow('\n');
});

describe('closing a sandbox', () => {
  it('does not wait for connections that are never answered', async () => {
    const sandbox = await start({ slowMs: 600_000 }); // it would wait for this
    const test = randomUUID();
    const unanswered = post(sandbox, '/v1/payment_intents', payment('pm_lab_timeout', test));
    const gone = expect(unanswered).rejects.toThrow();
    await until(async () => (await countPaid(test)) === 1);
    await sandbox.close();
    await gone;
  });
});

async function receive(): Promise<Receiver> {
  const receiver = await startReceiver();
  receivers.push(receiver);
  return receiver;
}

/** The settings of a sandbox that sends webhooks to this receiver, without delay. */
function webhooksTo({ url }: Receiver): Record<string, string> {
  return {
    SANDBOX_WEBHOOK_URL: url,
    SANDBOX_WEBHOOK_SECRET: 'whsec_of-the-process',
    SANDBOX_WEBHOOK_DELAY_MS: '0',
  };
}

async function run(env: Record<string, string> = {}, program?: string): Promise<SandboxProcess> {
  const started = await startSandboxProcess(databaseUrl, env, program);
  children.push(started.child);
  return started;
}

/** A port that is in use until the test process ends. */
async function takenPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
