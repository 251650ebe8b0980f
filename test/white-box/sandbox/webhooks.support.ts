import type pg from 'pg';
import type { WebhookConfig } from '../../../src/sandbox/config.js';
import { startSandbox, type Sandbox } from '../../../src/sandbox/sandbox.server.js';
import { payment, post } from '../../sandbox/sandbox.support.js';
import { startReceiver, type Receiver } from '../../sandbox/webhook-receiver.js';
import { freshDatabase, openPool } from '../../support/database.js';
import { until } from '../../support/until.js';

export const SECRET = 'whsec_of-the-sandbox';
export const DECLINED = 'pm_card_visa_chargeDeclined';

/** One ledger for a file, and for each test its sandboxes and their receiver. */
export class NotifyingSandbox {
  db!: pg.Pool;
  receiver!: Receiver;
  private database!: Awaited<ReturnType<typeof freshDatabase>>;
  private readonly running: Sandbox[] = [];

  get databaseUrl(): string {
    return this.database.url;
  }

  async open(): Promise<void> {
    this.database = await freshDatabase();
    this.db = openPool(this.database.url);
  }

  /** After each test. */
  async reset(): Promise<void> {
    for (const sandbox of this.running.splice(0)) await sandbox.close();
    await this.db.query('DELETE FROM sandbox.events');
    await this.receiver.stop();
  }

  async close(): Promise<void> {
    await this.db.end();
    await this.database.drop();
  }

  /** A sandbox on this ledger, with its own receiver. @param webhook null: it sends nothing. */
  async start(webhook: Partial<WebhookConfig> | null = {}): Promise<Sandbox> {
    this.receiver = await startReceiver();
    return this.join(webhook);
  }

  /** Another sandbox for the same receiver. */
  async join(webhook: Partial<WebhookConfig> | null = {}): Promise<Sandbox> {
    const defaults = {
      url: this.receiver.url,
      secret: SECRET,
      delayMs: 0,
      shuffleMs: 0,
      copies: 1,
    };
    const sandbox = await startSandbox({
      databaseUrl: this.databaseUrl,
      ...(webhook && { webhook: { ...defaults, ...webhook } }),
    });
    this.running.push(sandbox);
    return sandbox;
  }

  arrived(count: number): Promise<void> {
    return until(async () => this.receiver.received.length >= count);
  }

  delivered(id: string): Promise<void> {
    return until(async () => {
      const { rows } = await this.db.query(
        'SELECT delivered_at FROM sandbox.events WHERE id = $1',
        [id],
      );
      return rows[0].delivered_at !== null;
    });
  }
}

export const pay = async (sandbox: Sandbox, method = 'pm_card_visa') =>
  (await post(sandbox, '/v1/payment_intents', payment(method))).body as Record<string, unknown>;
