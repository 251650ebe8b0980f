-- The constraints and unique indexes on which the audit relies exist and are valid. Its queries do not repeat what these
-- enforce. (pg_amcheck finds a damaged index.)
--   psql "$DATABASE_URL" -f src/audit/constraints.sql    one row for each that is missing or not valid
WITH expected (kind, name) AS (
  SELECT 'constraint', unnest(ARRAY[
    'api_keys_account_fkey', 'api_keys_hash_is_sha256', 'idempotency_records_key_has_1_to_255_characters',
    'idempotency_records_state_is_known', 'idempotency_records_completed_has_its_answer',
    'idempotency_records_completed_has_no_lease', 'idempotency_records_stores_http_statuses',
    'idempotency_records_epochs_begin_at_1', 'charges_account_fkey', 'charges_order_fkey', 'charges_status_is_known',
    'charges_amount_is_in_range',
    'charges_refunded_is_within_amount', 'charges_only_succeeded_is_refunded', 'charges_currency_is_lower_case',
    'charges_succeeded_has_processor_reference', 'charges_failed_has_failure_code', 'charges_pending_is_not_settled',
    'charges_only_rebuilt_has_lost_order',
    'refunds_charge_fkey', 'refunds_status_is_known', 'refunds_amount_is_in_range',
    'refunds_succeeded_has_processor_reference', 'refunds_failed_has_failure_code', 'refunds_pending_is_not_settled',
    'refunds_only_failed_is_reversed', 'parked_payments_resolved_says_how',
    'orders_account_fkey', 'orders_status_is_known', 'orders_total_is_in_range', 'orders_paid_has_charge',
    'products_account_fkey', 'products_stock_is_never_negative', 'stock_movements_product_fkey',
    'stock_movements_kind_is_known', 'stock_movements_quantity_has_its_sign',
    'events_account_fkey', 'event_resends_event_fkey', 'sent_emails_event_fkey', 'fulfillments_order_fkey',
    'fulfillments_step_is_known', 'fulfillments_labelled_has_tracking_number', 'sale_cancellations_order_fkey',
    'sale_cancellations_charge_fkey', 'sale_cancellations_reason_is_known',
    'webhook_endpoints_account_fkey', 'webhook_secrets_endpoint_fkey', 'webhook_deliveries_endpoint_fkey',
    'webhook_deliveries_event_fkey', 'webhook_deliveries_status_is_known', 'webhook_deliveries_pending_has_its_time',
    'webhook_attempts_delivery_fkey', 'processor_events_state_is_known'])
  UNION ALL
  SELECT 'unique index', unnest(ARRAY[
    'accounts_pkey', 'api_keys_pkey', 'idempotency_records_pkey', 'idempotency_records_resource_key', 'charges_pkey',
    'charges_one_live_per_order', 'parked_payments_pkey', 'refunds_pkey', 'refunds_one_live_per_cause',
    'refunds_once_per_processor_reference', 'orders_pkey', 'products_pkey', 'stock_movements_pkey',
    'stock_movements_hold_ends_once', 'events_pkey', 'event_resends_pkey', 'sent_emails_pkey', 'fulfillments_pkey',
    'fulfillments_order_key', 'sale_cancellations_pkey', 'webhook_endpoints_pkey', 'webhook_secrets_pkey',
    'webhook_deliveries_pkey', 'webhook_attempts_pkey', 'processor_events_pkey']))

-- constraint_missing_or_not_valid: NOT VALID lets old rows break the rule. A CREATE INDEX CONCURRENTLY that fails
-- leaves an index that is not valid. The column account_id is '-': a constraint belongs to all accounts.
SELECT 'constraint_missing_or_not_valid' AS invariant, '-' AS account_id, name AS id,
  kind || CASE WHEN is_valid IS NULL THEN ' is missing' ELSE ' is not valid' END AS detail
FROM expected CROSS JOIN LATERAL (SELECT CASE kind
  WHEN 'constraint' THEN (SELECT bool_and(convalidated) FROM pg_constraint
    WHERE conname = name AND pg_table_is_visible(conrelid))
  ELSE (SELECT indisunique AND indisvalid FROM pg_index WHERE indexrelid = to_regclass(name)) END AS is_valid) AS found
WHERE is_valid IS NOT TRUE;
