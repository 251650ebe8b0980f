import { randomUUID } from 'node:crypto';
import { migrations } from '../../../migrations/index.js';
import { Completer } from '../../idempotency/completer.js';
import { Database, type Tx } from '../../idempotency/database.js';
import { IdempotencyEngine } from '../../idempotency/engine.js';
import { SETTLE_MS } from '../../idempotency/engine-options.js';
import { deriveId, fingerprintOf, memberHashes } from '../../idempotency/identity.js';
import { OperationRegistry, SilentProbe, type Operation } from '../../idempotency/operation.js';
import { replyTo, type Design, type Payment, type Purchase, type World } from './design.js';

/** The engine of this project (src/idempotency) with the smallest operation of three beats. */
export const ours: Design = {
  title: 'charge-once',
  idea: 'Reserve (record and pending charge, one commit); pay under the derived id; settle (charge and answer, one commit).',
  incident: 'None that we know: a test checks each cell.',
  tables: [
    ...(await engineTables()),
    `CREATE TABLE charges (account_id text, id text, amount bigint, payment json, PRIMARY KEY (account_id, id))`,
  ],

  async charge(purchase, world) {
    const { account, key } = purchase;
    const body: unknown = JSON.parse(purchase.text);
    const id = deriveId('ch', account, OPERATION, key);
    const request = {
      ...{ accountId: account, key, operation: OPERATION, id, requestId: randomUUID() },
      fingerprint: fingerprintOf({ params: {}, query: {}, body }),
      members: memberHashes(id, body),
    };
    const insert = {
      sql: `object AS (INSERT INTO charges SELECT account_id, resource_id, $1 FROM record RETURNING id)`,
      values: [purchase.amount],
    };
    try {
      const { answer } = await engineOn(world, purchase).run(request, {
        insert: () => ({ ...insert, work: () => purchase }),
      });
      return answer;
    } catch (error) {
      const { status, code } = error as { status?: number; code?: string };
      if (status === undefined) throw error;
      return { status, body: JSON.stringify({ code }) };
    }
  },
};

const OPERATION = 'POST /charges';
/**
 * Longer than the slow card of the sandbox (3 s). Short, because a process is frozen for longer, and an audience waits.
 */
const PERFORM_MS = 5_000;
const OPTIONS = {
  waitMs: 500,
  ttlSeconds: 3_600,
  leaseMs: PERFORM_MS + SETTLE_MS,
  reapIntervalMs: 3_600_000,
  isFinal: (status: number) => status === 201 || status === 402,
};

function operation({ pay }: World, purchase: Purchase): Operation<Purchase, Payment> {
  return {
    name: OPERATION,
    idPrefix: 'ch',
    find: async (db, accountId, id) => {
      const sql = 'SELECT id FROM charges WHERE account_id = $1 AND id = $2';
      const [charge] = await db.query<object>(sql, [accountId, id]);
      return charge && { object: 'charge', id, url: '/', failed: false, createdAt: new Date() };
    },
    outside: {
      // The retry's purchase: it has the same fingerprint as the record. (A sweep would read it from the row.)
      load: async () => purchase,
      perform: async (_work, { id }) =>
        pay(id, purchase).then(
          (outcome) => ({ ended: true, outcome }),
          () => ({ ended: false, inDoubt: true, error: () => new OutcomeUnknown() }),
        ),
      settle: (_work, payment) => ({
        answer: { ...replyTo(payment, purchase), headers: {} },
        write: {
          sql: `object AS (UPDATE charges SET payment = $1 FROM record
            WHERE charges.account_id = record.account_id AND charges.id = record.resource_id RETURNING charges.id)`,
          values: [JSON.stringify(payment)],
        },
      }),
    },
  };
}

class OutcomeUnknown extends Error {
  readonly status = 504;
}

/** The engine's `Database` on the gallery's connections. */
class GalleryDatabase extends Database {
  constructor(private readonly db: World['db']) {
    super();
  }

  query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
    return this.db.query<Row>(sql, values as unknown[]);
  }

  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    return this.db.transaction((tx) =>
      work({ kind: 'transaction', query: (sql, values) => tx.query(sql, values as unknown[]) }),
    );
  }
}

function engineOn(world: World, purchase: Purchase): IdempotencyEngine {
  const operations = new OperationRegistry();
  operations.register(operation(world, purchase));
  const db = new GalleryDatabase(world.db);
  const probe = new SilentProbe();
  const completer = new Completer(db, operations, probe, OPTIONS);
  return new IdempotencyEngine(db, operations, completer, probe, OPTIONS);
}

/** The statements of the engine's migrations. */
async function engineTables(): Promise<string[]> {
  const statements: string[] = [];
  for (const Migration of migrations) {
    if (!/^IdempotencyRecords\d/.test(Migration.name)) continue;
    const up = new Migration().up({
      query: async (sql: string) => void statements.push(sql),
    } as unknown as Parameters<InstanceType<typeof Migration>['up']>[0]);
    await up;
  }
  return statements;
}
