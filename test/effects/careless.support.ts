import type { Shop } from './effects.support.js';

/** Removes what makes shipments and bookings happen once, for the controls of the tests that count one. */
export async function forgetFulfillments({ db }: Shop): Promise<void> {
  for (const constraint of [
    'fulfillments DROP CONSTRAINT fulfillments_order_key',
    'fulfillments DROP CONSTRAINT fulfillments_pkey',
    'products DROP CONSTRAINT products_stock_is_never_negative',
    'stock_movements DROP CONSTRAINT stock_movements_pkey',
  ])
    await db.query(`ALTER TABLE ${constraint}`);
  await db.query('DROP INDEX stock_movements_hold_ends_once');
  // Changes the cause of each booking, so that it no longer identifies the booking.
  await db.query(`
    CREATE FUNCTION lose_the_cause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      UPDATE stock_movements SET cause = cause || '?' WHERE cause = NEW.cause AND kind = 'book'; RETURN NULL; END $$`);
  await db.query(`
    CREATE TRIGGER lose_the_cause AFTER INSERT ON stock_movements
    FOR EACH ROW WHEN (NEW.kind = 'book' AND NEW.cause NOT LIKE '%?') EXECUTE FUNCTION lose_the_cause()`);
}

/** Also does this for receipts, and for deliveries: it forgets their first success. */
export async function forgetEffects(shop: Shop): Promise<void> {
  await forgetFulfillments(shop);
  await shop.db.query(`
    CREATE FUNCTION lose_the_mail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      DELETE FROM sent_emails WHERE message_id = NEW.message_id; RETURN NULL; END $$`);
  await shop.db.query(`
    CREATE TRIGGER lose_the_mail AFTER UPDATE ON sent_emails
    FOR EACH ROW WHEN (NEW.sent_at IS NOT NULL) EXECUTE FUNCTION lose_the_mail()`);
  await shop.db.query(`
    CREATE FUNCTION lose_the_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      NEW.status := 'pending'; NEW.next_attempt_at := now(); RETURN NEW; END $$`);
  await shop.db.query(`
    CREATE TRIGGER lose_the_end BEFORE UPDATE ON webhook_deliveries
    FOR EACH ROW WHEN (NEW.status = 'succeeded' AND NEW.attempts = 1) EXECUTE FUNCTION lose_the_end()`);
}
