import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { freePort } from '../support/internals.js';
import { charge, send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { until } from '../support/until.js';

const page = await readFile('docs/webhook-receiver.md', 'utf8');
const block = (name: string) =>
  new RegExp(`^\`\`\`\\w+ ${name}\\n([^]*?)^\`\`\`$`, 'm').exec(page)![1]!;

/** The page's receiver as its own process, with its tables in our database. */
let service: Service;
let worker: Running;
let home: string;
let url: string;
let secret: string;
let receiver: ChildProcess;
beforeAll(async () => {
  service = await startService();
  await service.db.query(block('schema'));
  home = await mkdtemp(join('node_modules', '.receiver-')); // so that its imports are found
  const port = await freePort();
  url = `http://127.0.0.1:${port}/`;
  const made = await send(`${service.apiUrl}/webhook-endpoints`, {
    key: randomUUID(),
    body: { url, events: ['charge.succeeded'] },
  });
  secret = String(made.body.secret);
  await start(port, block('receiver'));
  worker = await service.startWorker();
});
afterAll(async () => {
  await worker.stop();
  receiver.kill();
  await service.stop();
  await rm(home, { recursive: true, force: true });
});
beforeEach(() => service.db.query('TRUNCATE parcels'));

async function start(port: number, code: string): Promise<void> {
  const script = join(home, `${randomUUID()}.mjs`);
  await writeFile(script, code);
  receiver = spawn(process.execPath, [script], {
    env: {
      DATABASE_URL: `${service.databaseUrl}?application_name=receiver`,
      WEBHOOK_SECRET: secret,
      PORT: String(port),
    },
    stdio: 'ignore',
  });
  await until(() =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
}

async function parcels(): Promise<number> {
  const { rows } = await service.db.query<{ count: number }>('SELECT count(*)::int FROM parcels');
  return rows[0]!.count;
}

async function pay(): Promise<string> {
  const paid = await charge(service.apiUrl, randomUUID());
  const { rows } = await service.db.query<{ id: string }>(
    `SELECT id FROM events WHERE cause = $1 AND type = 'charge.succeeded'`,
    [paid.body.id],
  );
  return rows[0]!.id;
}

const delivered = async () => {
  const { rows } = await service.db.query<{ count: number }>(
    `SELECT count(*)::int FROM webhook_deliveries WHERE status = 'succeeded'`,
  );
  return rows[0]!.count;
};

test('a charge is one parcel, however often its event is sent again', async () => {
  const before = await delivered();
  const event = await pay();
  for (let i = 0; i < 3; i++) {
    await send(`${service.apiUrl}/events/${event}/resend`, { method: 'POST', key: randomUUID() });
  }
  await until(async () => (await delivered()) === before + 4);
  expect(await parcels()).toBe(1);
});

/** One message of ours. Each call delivers it. */
function signed(): () => Promise<Response> {
  const id = `evt_${randomUUID()}`;
  const body = JSON.stringify({ type: 'charge.succeeded', data: { object: { id: 'ch_1' } } });
  const now = new Date();
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, now, body),
  };
  return () => fetch(url, { method: 'POST', headers, body });
}

/** One message, sent twenty times in parallel. */
async function flood(): Promise<number[]> {
  const deliver = signed();
  const answers = Array.from({ length: 20 }, () => deliver());
  return (await Promise.all(answers)).map(({ status }) => status);
}

test('twenty concurrent deliveries make one parcel, and each gets 204', async () => {
  expect(new Set(await flood())).toEqual(new Set([204]));
  expect(await parcels()).toBe(1);
});

test('a duplicate leaves the pooled connection usable', async () => {
  const connections = async () => {
    const { rows } = await service.db.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'receiver' ORDER BY pid`,
    );
    return rows.map(({ pid }) => pid);
  };
  const duplicates = signed();
  await duplicates();
  const before = await connections();
  expect(before.length).toBeGreaterThan(0);
  expect((await duplicates()).status).toBe(204);
  expect(await connections()).toEqual(before);
});

test.each([
  ['forged', { 'webhook-id': 'evt_1', 'webhook-timestamp': '1', 'webhook-signature': 'v1,x' }],
  ['not signed', {}],
])('a message that is %s gets 400', async (_how, headers) => {
  expect((await fetch(url, { method: 'POST', headers, body: '{}' })).status).toBe(400);
  expect(await parcels()).toBe(0);
});

test('without the check of webhook-id, twenty deliveries make twenty parcels (control)', async () => {
  receiver.kill();
  await once(receiver, 'exit');
  const naive = block('receiver').replace('if (seen.rowCount === 1) ', '');
  expect(naive).not.toBe(block('receiver'));
  await start(Number(new URL(url).port), naive);
  await flood();
  expect(await parcels()).toBe(20);
});
