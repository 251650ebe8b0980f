import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { TypeOrmDatabase } from '../../../src/database/database.js';
import { settleRefund } from '../../../src/refunds/settle-refund.js';
import { startService, type Service } from '../../support/service.js';
import { newCharge } from '../../refunds/refunds.support.js';

let service: Service;
let db: DataSource;
beforeAll(async () => {
  service = await startService();
  const { databaseUrl: url } = service;
  db = await new DataSource({ type: 'postgres', url, installExtensions: false }).initialize();
});
afterAll(async () => {
  await db.destroy();
  await service.stop();
});

test('a refund does not end without the charge that counts it', async () => {
  const charge = await newCharge(service.apiUrl);
  const [refund]: { account_id: string; id: string }[] = await db.query(
    `INSERT INTO refunds (account_id, id, charge_id, status, amount, currency, processor, processor_parameters)
     SELECT account_id, 're_1', id, 'pending', amount, currency, processor, '' FROM charges WHERE id = $1
     RETURNING account_id, id`,
    [charge],
  );
  const { account_id: accountId, id } = refund!;
  const end = { status: 'succeeded', reference: 're_at_processor' } as const;
  await expect(
    new TypeOrmDatabase(db).transaction((tx) =>
      settleRefund(tx, 'ch_absent', end, { accountId, id }),
    ),
  ).rejects.toThrow('re_1 refunds ch_absent: there is no such charge');
  expect(await db.query(`SELECT status FROM refunds WHERE id = 're_1'`)).toEqual([
    { status: 'pending' },
  ]);
});
