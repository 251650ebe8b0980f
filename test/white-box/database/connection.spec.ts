import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { Connection } from '../../../src/database/connection.js';
import { freshDatabase } from '../../support/database.js';
import { startStrippingPooler } from '../../support/stripping-pooler.js';

let database: Awaited<ReturnType<typeof freshDatabase>>;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

/** One session for the whole test, so that its prepared statements can be listed. */
async function inPool(url: string, use: (pool: pg.Pool) => Promise<void>): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 1, Client: Connection });
  pool.on('error', () => undefined); // the database is dropped while the connection closes
  try {
    await use(pool);
  } finally {
    await pool.end();
  }
}

const prepared = async (pool: pg.Pool): Promise<{ statement: string; runs: number }[]> =>
  (
    await pool.query(
      `SELECT statement, (generic_plans + custom_plans)::int AS runs FROM pg_prepared_statements`,
    )
  ).rows;

test('behind a pooler nothing is prepared, because the next statement may run in another session', async () => {
  const pooler = await startStrippingPooler(database.url);
  try {
    await inPool(pooler.url, async (pool) => {
      expect((await pool.query('SELECT $1::int AS one', [1])).rows).toEqual([{ one: 1 }]);
      expect(await prepared(pool)).toEqual([]);
    });
  } finally {
    pooler.close();
  }
});

test('a connection that is lost before the pool has it is an error only for its caller', async () => {
  const target = new URL(database.url);
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    const end = () => void [client.destroy(), upstream.destroy()];
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    upstream.pipe(client);
    // The first message with a type byte is our first query.
    client.on('data', (data) =>
      data[0] === 0x51 ? client.resetAndDestroy() : upstream.write(data),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(database.url);
  url.port = String((server.address() as AddressInfo).port);
  await inPool(url.href, async (pool) => {
    await expect(pool.query('SELECT $1::int', [1])).rejects.toThrow(/ECONNRESET|terminated/);
    expect(pool.totalCount).toBe(0);
  });
  server.close();
});

describe('a connection of the pool', () => {
  test('has a statement prepared once, whatever its values', () =>
    inPool(database.url, async (pool) => {
      for (const value of [1, 2, 3]) {
        const { rows } = await pool.query('SELECT $1::int + 1 AS next', [value]);
        expect(rows).toEqual([{ next: value + 1 }]);
      }
      expect(await prepared(pool)).toEqual([{ statement: 'SELECT $1::int + 1 AS next', runs: 3 }]);
    }));

  test('has the queue’s statements, which are objects, prepared as well', () =>
    inPool(database.url, async (pool) => {
      const query = { text: 'SELECT $1::int AS job', values: [1] };
      expect((await pool.query(query)).rows).toEqual([{ job: 1 }]);
      expect((await pool.query({ ...query, name: 'its_own' })).rows).toEqual([{ job: 1 }]);
      const { rows } = await pool.query(
        'SELECT name FROM pg_prepared_statements ORDER BY name DESC',
      );
      expect(rows).toEqual([{ name: expect.stringMatching(/^statement_/) }, { name: 'its_own' }]);
    }));

  test('forgets its names when the schema has changed', () =>
    inPool(database.url, async (pool) => {
      const client = await pool.connect();
      await client.query('CREATE TEMP TABLE changing (id int)');
      const find = () => client.query('SELECT * FROM changing WHERE id >= $1', [0]);
      await find();
      await client.query(
        'ALTER TABLE changing ADD COLUMN name text; INSERT INTO changing VALUES (1)',
      );
      await expect(find()).rejects.toMatchObject({ code: '0A000' });
      expect((await find()).rows).toEqual([{ id: 1, name: null }]);
      client.release();
    }));

  test('that no longer answers is discarded, even if it is released as good', () =>
    inPool(database.url, async (pool) => {
      const client = await pool.connect();
      const pid = 'SELECT pg_backend_pid() AS pid';
      const [before] = (await client.query(pid)).rows;
      const sleep = { text: 'SELECT pg_sleep($1)', values: [600], query_timeout: 100 };
      await expect(client.query(sleep)).rejects.toThrow('Query read timeout');
      client.release(); // as TypeORM does
      const [after] = (await pool.query(pid)).rows;
      expect(after).not.toEqual(before);
      await pool.query('SELECT pg_terminate_backend($1)', [before.pid]);
    }));

  test('accepts what `pg` accepts', () =>
    inPool(database.url, async (pool) => {
      const client = await pool.connect();
      const called = await new Promise((resolve, reject) =>
        client.query({ text: 'SELECT $1::int AS one', values: [1] }, (error, result) =>
          error ? reject(error) : resolve(result.rows),
        ),
      );
      expect(called).toEqual([{ one: 1 }]);
      await client.query('SELECT 1; SELECT 2', []);
      client.release();
    }));

  test('sends statements without values unchanged, even several in one string', () =>
    inPool(database.url, async (pool) => {
      await pool.query('CREATE TEMP TABLE several (id int); INSERT INTO several VALUES (1)');
      expect((await pool.query('SELECT id FROM several')).rows).toEqual([{ id: 1 }]);
      expect(await prepared(pool)).toEqual([]);
    }));

  test('reuses a name whose statement could not be prepared', () =>
    inPool(database.url, async (pool) => {
      const find = () => pool.query('SELECT id FROM later WHERE id = $1', [1]);
      await expect(find()).rejects.toMatchObject({ code: '42P01' });
      await pool.query('CREATE TEMP TABLE later AS SELECT 1 AS id');
      expect((await find()).rows).toEqual([{ id: 1 }]);
    }));

  test('says why it could not be opened', async () => {
    const nowhere = new URL(database.url);
    nowhere.pathname = '/no_such_database';
    await inPool(nowhere.href, async (pool) => {
      await expect(pool.query('SELECT $1::int', [1])).rejects.toMatchObject({ code: '3D000' });
    });
  });

  // Must be the last test: names belong to the process, and this uses them up.
  test('prepares at most 500 different statements', () =>
    inPool(database.url, async (pool) => {
      for (let form = 0; form < 600; form++)
        await pool.query(`SELECT $1::int AS form_${form}`, [form]);
      expect((await prepared(pool)).length).toBeLessThanOrEqual(500);
    }));
});
