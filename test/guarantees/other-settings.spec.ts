import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SESSION_MEANING, checkDatabase, migrate } from '../support/internals.js';
import { runToEnd } from '../operation/operation.support.js';
import { refund } from '../refunds/refunds.support.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, lookUp, send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { startStrippingPooler } from '../support/stripping-pooler.js';
import { until } from '../support/until.js';

/** Settings that a database may have for all sessions. Each breaks a session that relies on the defaults. */
const OTHER_SETTINGS: Record<keyof typeof SESSION_MEANING | 'timezone', string> = {
  datestyle: 'SQL, DMY',
  intervalstyle: 'sql_standard',
  default_transaction_isolation: 'serializable',
  bytea_output: 'escape',
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  extra_float_digits: '-15',
  timezone: 'America/St_Johns',
};

let service: Service;
let name: string;
beforeAll(async () => {
  service = await startService({ env: { IDEMPOTENCY_WAIT_MS: '30000' } });
  name = new URL(service.databaseUrl).pathname.slice(1);
});
afterAll(async () => {
  for (const setting of Object.keys(OTHER_SETTINGS))
    await service.db.query(`ALTER DATABASE ${name} RESET ${setting}`);
  await expectCleanBooks(service);
  await service.stop();
});

async function setForNewSessions(settings: Record<string, string>): Promise<void> {
  for (const [setting, value] of Object.entries(settings))
    await service.db.query(`ALTER DATABASE ${name} SET ${setting} = '${value}'`);
}

/** An API and a sandbox with new sessions. */
async function restart(): Promise<Running> {
  await (
    await service.stopSandbox()
  )();
  return service.startApi();
}

describe.each(['read committed', 'repeatable read', 'serializable'])(
  'with default_transaction_isolation = %s',
  (level) => {
    let api: Running;
    beforeAll(async () => {
      await setForNewSessions({ default_transaction_isolation: level });
      api = await restart();
    });
    afterAll(() => api.stop());

    test('of six concurrent refunds of 600 on a charge of 1000, one is reserved', async () => {
      const { body } = await charge(api.url, `refunded ${level}`, { amount: 1000 });
      const gate = await service.db.connect();
      await gate.query('BEGIN');
      await gate.query('SELECT 1 FROM charges WHERE id = $1 FOR UPDATE', [body.id]);
      const refunds = Array.from({ length: 6 }, (_, i) =>
        refund(api.url, body.id, `refund ${i} ${level}`, { amount: 600 }),
      );
      // Each transaction has started, and none has seen another's refund.
      await until(async () => {
        const { rowCount } = await service.db.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`,
          [name],
        );
        return rowCount === 6;
      });
      await gate.query('COMMIT');
      gate.release();
      const replies = await Promise.all(refunds);
      const refused = replies.filter(({ status }) => status !== 201);
      expect(refused).toHaveLength(5);
      for (const { body } of refused)
        expect(['payment_pending', 'refund_exceeds_charge']).toContain(body.code);
      const { rows } = await service.db.query(
        `SELECT amount::int FROM refunds WHERE charge_id = $1`,
        [body.id],
      );
      expect(rows).toEqual([{ amount: 600 }]);
    });

    test('thirty requests with one key all get the answer of one charge', async () => {
      const key = `thirty ${level}`;
      const replies = await Promise.all(Array.from({ length: 30 }, () => charge(api.url, key)));
      expect(replies.map(({ status }) => status)).toEqual(Array(30).fill(201));
      expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
      expect(await paymentsOf(service.sandboxUrl, replies[0]!.body.id)).toHaveLength(1);
      expect((await lookUp(api.url, key)).body).toMatchObject({ attempts: 1 });
    });
  },
);

describe('API and worker in a database with non-default session settings', () => {
  let api: Running;
  let worker: Running;
  let mail: string;
  beforeAll(async () => {
    // Each new session records its settings.
    await service.db.query(
      `CREATE TABLE begun (application text, ${Object.keys(SESSION_MEANING)
        .map((setting) => `${setting} text`)
        .join(', ')})`,
    );
    await service.db.query(
      `CREATE FUNCTION note_session() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO begun SELECT current_setting('application_name'), ${Object.keys(
           SESSION_MEANING,
         )
           .map((setting) => `current_setting('${setting}')`)
           .join(', ')};
       END $$`,
    );
    await service.db.query(
      'CREATE EVENT TRIGGER note_session ON login EXECUTE FUNCTION note_session()',
    );
    await service.db.query('ALTER EVENT TRIGGER note_session ENABLE ALWAYS');
    await setForNewSessions(OTHER_SETTINGS);
    api = await restart();
    mail = await mkdtemp(join(tmpdir(), 'charge-once-mail-'));
    worker = await service.startWorker({ MAIL_DIR: mail });
  });
  afterAll(async () => {
    await service.db.query('DROP EVENT TRIGGER note_session');
    await Promise.all([api.stop(), worker.stop()]);
    await rm(mail, { recursive: true });
  });

  test('a charge is made, found, listed and refunded', async () => {
    const body = { receipt_email: 'a@example.com', metadata: { path: 'C:\\temp' } };
    const made = await charge(api.url, 'elsewhere', body);
    expect(made).toMatchObject({ status: 201, body });
    expect((await charge(api.url, 'elsewhere', body)).text).toBe(made.text);
    const { id, created_at } = made.body;
    const since = `/charges?status=succeeded&created[gte]=${created_at}`;
    const listed = await send(`${api.url}${since}`);
    expect(listed.body.data).toEqual([made.body]);
    expect((await refund(api.url, id, 'elsewhere back')).status).toBe(201);
    expect((await send(`${api.url}/charges/${id}`)).body.amount_refunded).toBe(made.body.amount);
  });

  test('its receipt is sent', () =>
    until(async () => {
      const { rows } = await service.db.query(
        `SELECT 1 FROM sent_emails WHERE sent_at IS NOT NULL`,
      );
      return rows.length === 1;
    }));

  test('every connection of every program has the settings that the program relies on', async () => {
    const env = {
      DATABASE_URL: service.databaseUrl,
      PROCESSOR_URL: service.sandboxUrl,
      ALLOW_UNSAFE_DATABASE: '1',
    };
    await send(`${api.url}/metrics`);
    await migrate(service.databaseUrl);
    await checkDatabase(service.databaseUrl, true);
    const commands = await Promise.all([
      runToEnd('audit.js', env),
      runToEnd('reconcile.js', env),
      runToEnd('account.js', env, ['list']),
    ]);
    for (const command of commands) expect(command).toMatchObject({ exit: 0 });
    const { rows } = await service.db.query<Record<string, string>>(
      `SELECT DISTINCT * FROM begun WHERE application <> '' ORDER BY application`,
    );
    for (const { application, datestyle, ...settings } of rows) {
      expect({ application, datestyle, ...settings }).toEqual({
        ...SESSION_MEANING,
        application,
        datestyle: expect.stringMatching(/^ISO/),
      });
    }
    expect([...new Set(rows.map(({ application }) => application))]).toEqual([
      'charge-once',
      'charge-once check',
      'charge-once jobs',
      'charge-once metrics',
      'charge-once migrations',
      'charge-once sandbox',
    ]);
  });

  test('behind a pooler that ignores start-up parameters, a program refuses to start and prints the fix', async () => {
    const pooler = await startStrippingPooler(service.databaseUrl);
    const { rows } = await service.db.query('SELECT current_user AS user');
    try {
      for (const [setting, value] of Object.entries(SESSION_MEANING)) {
        await expect(checkDatabase(pooler.url, true)).rejects.toThrow(
          `${setting} is '${OTHER_SETTINGS[setting as keyof typeof SESSION_MEANING]}': work would begin and not be settled. ALTER ROLE "${rows[0].user}" SET ${setting} = '${value}'`,
        );
        await service.db.query(`ALTER DATABASE ${name} SET ${setting} = '${value}'`);
      }
      expect(await checkDatabase(pooler.url, true)).not.toEqual([]); // the limits are also missing
    } finally {
      pooler.close();
    }
  });
});
