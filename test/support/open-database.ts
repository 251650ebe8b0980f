import { DataSource } from 'typeorm';
import { TypeOrmDatabase, type Database } from '../../src/database/database.js';
import { freshDatabase } from './database.js';

export interface OpenDatabase {
  db: Database;
  url: string;
  close: () => Promise<void>;
}

/** Our `Database` on the test's own connections. */
export async function openDatabase(url: string, poolSize = 10): Promise<OpenDatabase> {
  const dataSource = new DataSource({ type: 'postgres', url, installExtensions: false, poolSize });
  await dataSource.initialize();
  return { db: new TypeOrmDatabase(dataSource), url, close: () => dataSource.destroy() };
}

/** The same on a new, migrated, empty database, which `close` drops. */
export async function openFreshDatabase(poolSize?: number): Promise<OpenDatabase> {
  const database = await freshDatabase();
  const open = await openDatabase(database.url, poolSize);
  return {
    ...open,
    async close() {
      await open.close();
      await database.drop();
    },
  };
}
