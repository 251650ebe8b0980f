import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { ignorePgVariables } from '../config.js';
import { migrate } from '../database/migrate.js';
import { readTables, type Table } from '../database/schema/catalogue.js';
import { withDiagram } from '../database/schema/schema-diagram.js';
import { schemaSql } from '../database/schema/schema-sql.js';
import { startEmbeddedPostgres } from '../local/embedded-postgres.js';

// `npm run schema`: starts its own PostgreSQL and migrates it. Writes the resulting schema to migrations/schema.sql
// and, as a diagram, to docs/schema.md. Needs no database of yours.

const FILE = 'migrations/schema.sql';
const PAGE = 'docs/schema.md';

ignorePgVariables(); // they are meant for another server
const tables = await tablesOfMigrations();
await writeFile(FILE, schemaSql(tables));
await writeFile(PAGE, withDiagram(await readFile(PAGE, 'utf8'), tables));
console.log(`${FILE} and ${PAGE} written`);

async function tablesOfMigrations(): Promise<Table[]> {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-schema-'));
  await chmod(home, 0o755); // if this runs as root, the server runs as another user
  const server = await startEmbeddedPostgres({
    dataDir: join(home, 'postgres'),
    database: 'charge_once',
    durable: false,
  });
  try {
    await migrate(server.url);
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    return await readTables(client).finally(() => client.end());
  } finally {
    await server.stop();
    await rm(home, { recursive: true, force: true });
  }
}
