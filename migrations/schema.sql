-- The whole schema: read this one file to know the data.
--
-- Made by `npm run schema` from a migrated database; test/white-box/database/schema.spec.ts fails when it differs.
-- `psql -f migrations/schema.sql` loads it into an empty database, to try queries on. The service needs one that
-- `npm run migrate` has made: that also has the job queue, in a schema of its own, and the list of migrations.

-- A merchant. Written by "npm run account" and, for the demo accounts, by "npm start".
CREATE TABLE accounts (
  id text NOT NULL,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT accounts_pkey PRIMARY KEY (id)
);

-- A secret by which an account calls the API. Written and revoked by "npm run account".
CREATE TABLE api_keys (
  key_hash bytea NOT NULL,
  account_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz,
  -- Without the account: a request presents only the key, and this row says whose it is.
  CONSTRAINT api_keys_pkey PRIMARY KEY (key_hash),
  CONSTRAINT api_keys_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
  CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(key_hash) = 32)
);

-- A request, identified by its key: who works on it and, later, the stored response. Written by the engine.
CREATE TABLE idempotency_records (
  account_id text NOT NULL,
  key text NOT NULL,
  operation text NOT NULL,
  -- Derived from account, operation and key. It is the id of the object that the request makes.
  resource_id text NOT NULL,
  fingerprint bytea NOT NULL,
  -- A digest of each member of the request, so that a reused key can name the members that differ.
  members json NOT NULL,
  request_id text NOT NULL,
  state text NOT NULL,
  -- The fencing token. Only the holder of the newest epoch can complete the record.
  epoch integer NOT NULL,
  attempts integer NOT NULL,
  -- Attempts of the sweep that began and have not shown that the fault lies outside.
  failures integer NOT NULL DEFAULT 0,
  -- An earlier attempt may have had an effect outside.
  in_doubt boolean NOT NULL,
  -- The sweep has stopped repeating the request. A person must look.
  needs_attention boolean NOT NULL DEFAULT false,
  first_seen_at timestamptz NOT NULL,
  -- Until then one attempt holds the record. After that another process can claim it.
  lease_expires_at timestamptz,
  -- When the sweep tries again. A retry by the client does not wait for it.
  next_attempt_at timestamptz,
  completed_at timestamptz,
  expires_at timestamptz,
  response_status smallint,
  response_headers json,
  response_body text,
  -- Decides every race: of two requests with one key, one inserts the row and the other waits.
  CONSTRAINT idempotency_records_pkey PRIMARY KEY (account_id, key),
  CONSTRAINT idempotency_records_resource_key UNIQUE (resource_id, account_id),
  CONSTRAINT idempotency_records_state_is_known CHECK (state IN ('in_progress', 'completed')),
  CONSTRAINT idempotency_records_key_has_1_to_255_characters CHECK (length(key) >= 1 AND length(key) <= 255),
  CONSTRAINT idempotency_records_completed_has_its_answer CHECK (
    CASE state
        WHEN 'completed' THEN num_nulls(completed_at, expires_at, response_status, response_headers, response_body) = 0
        ELSE num_nonnulls(completed_at, expires_at, response_status, response_headers, response_body) = 0
    END),
  CONSTRAINT idempotency_records_completed_has_no_lease
    CHECK (state = 'in_progress' OR num_nonnulls(lease_expires_at, next_attempt_at) = 0),
  -- Which statuses are final is an option of the engine (isFinal).
  CONSTRAINT idempotency_records_stores_http_statuses CHECK (response_status >= 200 AND response_status <= 599),
  CONSTRAINT idempotency_records_epochs_begin_at_1 CHECK (epoch >= 1 AND attempts >= 1)
);
CREATE INDEX idempotency_records_unfinished ON idempotency_records (first_seen_at) WHERE state = 'in_progress';
CREATE INDEX idempotency_records_by_expiry ON idempotency_records (expires_at) WHERE state = 'completed';

-- What a customer wants to buy. Written by the client through the API, then by the charge that pays it.
CREATE TABLE orders (
  account_id text NOT NULL,
  id text NOT NULL,
  status text NOT NULL,
  currency text NOT NULL,
  total bigint NOT NULL,
  items json NOT NULL,
  email text,
  metadata json NOT NULL,
  -- The charge that holds the open order, or that has paid it.
  charge_id text,
  fulfillment_id text,
  -- Counts the changes. The ETag of the order is made from it.
  version integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT orders_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT orders_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
  CONSTRAINT orders_status_is_known CHECK (status IN ('open', 'paid', 'canceled')),
  CONSTRAINT orders_total_is_in_range CHECK (total >= 1 AND total <= 99999999),
  CONSTRAINT orders_paid_has_charge CHECK (status <> 'paid' OR charge_id IS NOT NULL)
);
CREATE INDEX orders_newest_first ON orders (account_id, created_at DESC, id DESC);

-- A product and its stock. Written by the client through the API; charges and shipments move the stock.
CREATE TABLE products (
  account_id text NOT NULL,
  sku text NOT NULL,
  name text NOT NULL,
  on_hand bigint NOT NULL,
  -- The part of on_hand that pending charges and paid orders have reserved.
  held bigint NOT NULL DEFAULT 0,
  version integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT products_pkey PRIMARY KEY (account_id, sku),
  CONSTRAINT products_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
  CONSTRAINT products_stock_is_never_negative CHECK (on_hand >= 0 AND held >= 0)
);

-- One change of a stock and its cause. Written in the transaction that changes the product, never updated.
CREATE TABLE stock_movements (
  account_id text NOT NULL,
  sku text NOT NULL,
  cause text NOT NULL,
  kind text NOT NULL,
  quantity bigint NOT NULL,
  moved_at timestamptz NOT NULL DEFAULT now(),
  -- A cause moves a product once in each way, however often it is repeated.
  CONSTRAINT stock_movements_pkey PRIMARY KEY (account_id, sku, cause, kind),
  CONSTRAINT stock_movements_product_fkey FOREIGN KEY (account_id, sku) REFERENCES products (account_id, sku),
  CONSTRAINT stock_movements_kind_is_known CHECK (kind IN ('adjust', 'hold', 'release', 'book')),
  CONSTRAINT stock_movements_quantity_has_its_sign CHECK (kind = 'adjust' OR quantity > 0)
);
-- The primary key allows one release and one booking of a hold. Together they would end it twice.
CREATE UNIQUE INDEX stock_movements_hold_ends_once ON stock_movements (account_id, sku, cause)
WHERE kind IN ('release', 'book');
CREATE INDEX stock_movements_by_cause ON stock_movements (account_id, cause);

-- A purchase to be paid. Reserve writes it before the processor is called; settle writes how it ended.
CREATE TABLE charges (
  account_id text NOT NULL,
  id text NOT NULL,
  status text NOT NULL,
  -- In the minor unit of the currency, as everywhere.
  amount bigint NOT NULL,
  amount_refunded bigint NOT NULL DEFAULT 0,
  currency text NOT NULL,
  payment_method text NOT NULL,
  description text,
  receipt_email text,
  order_id text,
  -- The order that a rebuilt charge has paid, while that order is gone or cannot take it.
  lost_order_id text,
  metadata json NOT NULL,
  failure_code text,
  decline_code text,
  processor text NOT NULL,
  -- The exact request to the processor, as JSON text. Every attempt sends this.
  processor_parameters text NOT NULL,
  -- The id of the payment at the processor.
  processor_reference text,
  created_at timestamptz NOT NULL DEFAULT now(),
  settled_at timestamptz,
  -- When "npm run reconcile" rebuilt the row from the ledger of the processor. It has no idempotency record.
  rebuilt_at timestamptz,
  -- The id is derived from account, operation and key. This guard never expires.
  CONSTRAINT charges_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT charges_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
  CONSTRAINT charges_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
  CONSTRAINT charges_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
  CONSTRAINT charges_amount_is_in_range CHECK (amount >= 1 AND amount <= 99999999),
  CONSTRAINT charges_refunded_is_within_amount CHECK (amount_refunded >= 0 AND amount_refunded <= amount),
  CONSTRAINT charges_only_succeeded_is_refunded CHECK (amount_refunded = 0 OR status = 'succeeded'),
  CONSTRAINT charges_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
  CONSTRAINT charges_succeeded_has_processor_reference
    CHECK (status <> 'succeeded' OR processor_reference IS NOT NULL),
  CONSTRAINT charges_failed_has_failure_code CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
  CONSTRAINT charges_pending_is_not_settled CHECK ((status = 'pending') = (settled_at IS NULL)),
  CONSTRAINT charges_only_rebuilt_has_lost_order
    CHECK (lost_order_id IS NULL OR rebuilt_at IS NOT NULL AND order_id IS NULL)
);
-- The second guard: an order has one live charge, whatever the key, the client or the instance.
CREATE UNIQUE INDEX charges_one_live_per_order ON charges (account_id, COALESCE(order_id, lost_order_id))
WHERE (status IN ('pending', 'succeeded')) AND COALESCE(order_id, lost_order_id) IS NOT NULL;
-- The list without a filter merges one scan for each status, so that a charge writes one index less.
CREATE INDEX charges_by_status ON charges (account_id, status, created_at DESC, id DESC);
CREATE INDEX charges_of_order ON charges (account_id, order_id, created_at DESC, id DESC)
WHERE order_id IS NOT NULL;
-- A refund that was made in the dashboard of the processor names its payment, not the charge.
CREATE INDEX charges_by_processor_reference ON charges (processor_reference) WHERE processor_reference IS NOT NULL;

-- Money that goes back for a charge. Reserve and settle write it, for a client or for a canceled sale; a
-- notification or "npm run reconcile" writes one that was made at the processor.
CREATE TABLE refunds (
  account_id text NOT NULL,
  id text NOT NULL,
  charge_id text NOT NULL,
  status text NOT NULL,
  amount bigint NOT NULL,
  currency text NOT NULL,
  reason text,
  -- Why we owe the refund; null if a client asked for it. Repeats are named cause#2, cause#3 and so on.
  cause text,
  failure_code text,
  processor text NOT NULL,
  processor_parameters text NOT NULL,
  processor_reference text,
  created_at timestamptz NOT NULL DEFAULT now(),
  settled_at timestamptz,
  -- When a refund that had succeeded failed. Its settled_at stays the time of its first end.
  reversed_at timestamptz,
  -- When the row was rebuilt from the ledger of the processor. It has no idempotency record.
  rebuilt_at timestamptz,
  CONSTRAINT refunds_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT refunds_charge_fkey FOREIGN KEY (account_id, charge_id) REFERENCES charges (account_id, id),
  CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
  CONSTRAINT refunds_amount_is_in_range CHECK (amount >= 1 AND amount <= 99999999),
  CONSTRAINT refunds_succeeded_has_processor_reference
    CHECK (status <> 'succeeded' OR processor_reference IS NOT NULL),
  CONSTRAINT refunds_failed_has_failure_code CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
  CONSTRAINT refunds_pending_is_not_settled CHECK ((status = 'pending') = (settled_at IS NULL)),
  CONSTRAINT refunds_only_failed_is_reversed CHECK (reversed_at IS NULL OR status = 'failed')
);
CREATE INDEX refunds_of_charge ON refunds (account_id, charge_id, created_at DESC, id DESC);
-- A refund that we owe is made once. After one has failed, another may follow.
CREATE UNIQUE INDEX refunds_one_live_per_cause ON refunds (account_id, split_part(cause, '#', 1))
WHERE cause IS NOT NULL AND status <> 'failed';
-- One refund at the processor is one row, whichever path reports it.
CREATE UNIQUE INDEX refunds_once_per_processor_reference ON refunds (account_id, processor_reference)
WHERE processor_reference IS NOT NULL;

-- What has happened, written in the transaction that made it so: the outbox. The relay turns it into jobs and
-- deliveries, and sets relayed_at.
CREATE TABLE events (
  account_id text NOT NULL,
  id text NOT NULL,
  type text NOT NULL,
  cause text NOT NULL,
  data json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  relayed_at timestamptz,
  -- The id is derived from account, type and cause: recorded again, it is the same event.
  CONSTRAINT events_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT events_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
);
CREATE INDEX events_newest_first ON events (account_id, created_at DESC, id DESC);
-- Beside events_newest_first: no constraint closes the list of types, so no process could merge them all.
CREATE INDEX events_by_type ON events (account_id, type, created_at DESC, id DESC);
CREATE INDEX events_not_relayed ON events (account_id, created_at) WHERE relayed_at IS NULL;

-- A request to deliver an event again. Written by the client through the API.
CREATE TABLE event_resends (
  account_id text NOT NULL,
  id text NOT NULL,
  event_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT event_resends_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT event_resends_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id)
);

-- A receipt, and the lease of the job that sends it. Written by that job.
CREATE TABLE sent_emails (
  account_id text NOT NULL,
  message_id text NOT NULL,
  event_id text NOT NULL,
  recipient text NOT NULL,
  epoch integer NOT NULL,
  lease_expires_at timestamptz,
  sent_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT sent_emails_pkey PRIMARY KEY (account_id, message_id),
  CONSTRAINT sent_emails_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id)
);

-- The shipment of a paid order. Written by the jobs of its steps.
CREATE TABLE fulfillments (
  account_id text NOT NULL,
  id text NOT NULL,
  order_id text NOT NULL,
  charge_id text NOT NULL,
  step text NOT NULL,
  tracking_number text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT fulfillments_pkey PRIMARY KEY (account_id, id),
  -- One shipment for an order, however often the job runs.
  CONSTRAINT fulfillments_order_key UNIQUE (account_id, order_id),
  CONSTRAINT fulfillments_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
  CONSTRAINT fulfillments_step_is_known CHECK (step IN ('picking', 'labelled', 'handed_over')),
  CONSTRAINT fulfillments_labelled_has_tracking_number CHECK ((step = 'picking') = (tracking_number IS NULL))
);

-- The decision to refund and cancel a paid order that cannot be shipped. Written once by the job that found it
-- out, so that no later run decides otherwise.
CREATE TABLE sale_cancellations (
  account_id text NOT NULL,
  order_id text NOT NULL,
  charge_id text NOT NULL,
  reason text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- An order is shipped or its sale is canceled. The first decision counts; the lock of the order protects it.
  CONSTRAINT sale_cancellations_pkey PRIMARY KEY (account_id, order_id),
  CONSTRAINT sale_cancellations_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
  CONSTRAINT sale_cancellations_charge_fkey FOREIGN KEY (account_id, charge_id) REFERENCES charges (account_id, id),
  CONSTRAINT sale_cancellations_reason_is_known CHECK (reason = 'out_of_stock')
);

-- A URL to which the events of an account are delivered. Written by the client through the API.
CREATE TABLE webhook_endpoints (
  account_id text NOT NULL,
  id text NOT NULL,
  url text NOT NULL,
  events json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  disabled_at timestamptz,
  deleted_at timestamptz,
  CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT webhook_endpoints_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
);
CREATE INDEX webhook_endpoints_newest_first ON webhook_endpoints (account_id, created_at DESC, id DESC)
WHERE deleted_at IS NULL;

-- A secret that signs the deliveries to an endpoint. Written with the endpoint and at each rotation.
CREATE TABLE webhook_secrets (
  account_id text NOT NULL,
  id text NOT NULL,
  endpoint_id text NOT NULL,
  secret text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  CONSTRAINT webhook_secrets_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT webhook_secrets_endpoint_fkey
    FOREIGN KEY (account_id, endpoint_id) REFERENCES webhook_endpoints (account_id, id)
);
CREATE INDEX webhook_secrets_by_endpoint ON webhook_secrets (account_id, endpoint_id);

-- An event for an endpoint, and its schedule. Written by the relay or a resend, then by each attempt.
CREATE TABLE webhook_deliveries (
  account_id text NOT NULL,
  id text NOT NULL,
  endpoint_id text NOT NULL,
  event_id text NOT NULL,
  status text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  -- When it is due. While an attempt runs, the end of its lease.
  next_attempt_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- The id is derived from endpoint, event and, for a resend, its id: planned again, it is the same delivery.
  CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (account_id, id),
  CONSTRAINT webhook_deliveries_endpoint_fkey
    FOREIGN KEY (account_id, endpoint_id) REFERENCES webhook_endpoints (account_id, id),
  CONSTRAINT webhook_deliveries_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id),
  CONSTRAINT webhook_deliveries_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
  CONSTRAINT webhook_deliveries_pending_has_its_time CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_newest_first ON webhook_deliveries (account_id, endpoint_id, created_at DESC, id DESC);
-- The audit asks whether each event has its deliveries.
CREATE INDEX webhook_deliveries_of_event ON webhook_deliveries (account_id, event_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending';
-- Beside webhook_deliveries_due: finds what is due behind the backlog of another endpoint.
CREATE INDEX webhook_deliveries_due_of_endpoint ON webhook_deliveries (account_id, endpoint_id, next_attempt_at)
WHERE status = 'pending';

-- One HTTP request of a delivery. Written by the process that sends it, before and after.
CREATE TABLE webhook_attempts (
  account_id text NOT NULL,
  delivery_id text NOT NULL,
  number integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  response_status integer,
  error text,
  CONSTRAINT webhook_attempts_pkey PRIMARY KEY (account_id, delivery_id, number),
  CONSTRAINT webhook_attempts_delivery_fkey
    FOREIGN KEY (account_id, delivery_id) REFERENCES webhook_deliveries (account_id, id)
);

-- A notification from the processor. Written by the webhook that receives it, in the transaction that applies it.
CREATE TABLE processor_events (
  processor text NOT NULL,
  id text NOT NULL,
  type text NOT NULL,
  account_id text NOT NULL,
  -- No foreign key: a restore may have lost the charge. Such a notification waits.
  charge_id text NOT NULL,
  refund_id text,
  state text NOT NULL,
  fact json NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  -- Without the account: the id is the processor's own. A notification that is sent again is found here.
  CONSTRAINT processor_events_pkey PRIMARY KEY (processor, id),
  CONSTRAINT processor_events_state_is_known CHECK (state IN ('applied', 'waiting', 'parked'))
);
CREATE INDEX processor_events_by_state ON processor_events (state, received_at, id);

-- A payment or refund at the processor that does not fit our rows. Written by the transaction that finds it; a
-- person resolves it with "npm run jobs". Never deleted.
CREATE TABLE parked_payments (
  account_id text NOT NULL,
  -- The id of the payment or the refund at the processor.
  processor_reference text NOT NULL,
  charge_id text NOT NULL,
  amount bigint NOT NULL,
  currency text NOT NULL,
  reason text NOT NULL,
  parked_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  -- What the person has done about it.
  resolution text,
  CONSTRAINT parked_payments_pkey PRIMARY KEY (account_id, processor_reference),
  CONSTRAINT parked_payments_resolved_says_how CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);

-- One run of "npm run reconcile", which writes it.
CREATE TABLE reconciliation_runs (
  id text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  -- Null while the run goes on, and after it was killed.
  ended_at timestamptz,
  span_from timestamptz NOT NULL,
  span_to timestamptz NOT NULL,
  CONSTRAINT reconciliation_runs_pkey PRIMARY KEY (id)
);

-- A difference between our rows and the ledger of the processor. Written by the run that finds it.
CREATE TABLE reconciliation_differences (
  run_id text NOT NULL,
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  what text NOT NULL,
  account_id text NOT NULL,
  object_id text NOT NULL,
  detail text NOT NULL,
  -- True: written in the transaction that repaired the difference.
  repaired boolean NOT NULL,
  found_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT reconciliation_differences_pkey PRIMARY KEY (run_id, number),
  CONSTRAINT reconciliation_differences_run_fkey FOREIGN KEY (run_id) REFERENCES reconciliation_runs (id)
);

-- A charge without any guard, to compare with. Written by the naive lane of the lab, after the payment.
CREATE TABLE naive_charges (
  account_id text NOT NULL,
  id text NOT NULL,
  amount bigint NOT NULL,
  currency text NOT NULL,
  payment_method text NOT NULL,
  processor_reference text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT naive_charges_pkey PRIMARY KEY (account_id, id)
);

-- The same comments for the catalogue, where `\d+` of psql shows them.
COMMENT ON TABLE accounts IS 'A merchant. Written by "npm run account" and, for the demo accounts, by "npm start".';
COMMENT ON TABLE api_keys IS 'A secret by which an account calls the API. Written and revoked by "npm run account".';
COMMENT ON CONSTRAINT api_keys_pkey ON api_keys IS 'Without the account: a request presents only the key, and this row says whose it is.';
COMMENT ON TABLE idempotency_records IS 'A request, identified by its key: who works on it and, later, the stored response. Written by the engine.';
COMMENT ON COLUMN idempotency_records.resource_id IS 'Derived from account, operation and key. It is the id of the object that the request makes.';
COMMENT ON COLUMN idempotency_records.members IS 'A digest of each member of the request, so that a reused key can name the members that differ.';
COMMENT ON COLUMN idempotency_records.epoch IS 'The fencing token. Only the holder of the newest epoch can complete the record.';
COMMENT ON COLUMN idempotency_records.failures IS 'Attempts of the sweep that began and have not shown that the fault lies outside.';
COMMENT ON COLUMN idempotency_records.in_doubt IS 'An earlier attempt may have had an effect outside.';
COMMENT ON COLUMN idempotency_records.needs_attention IS 'The sweep has stopped repeating the request. A person must look.';
COMMENT ON COLUMN idempotency_records.lease_expires_at IS 'Until then one attempt holds the record. After that another process can claim it.';
COMMENT ON COLUMN idempotency_records.next_attempt_at IS 'When the sweep tries again. A retry by the client does not wait for it.';
COMMENT ON CONSTRAINT idempotency_records_pkey ON idempotency_records IS 'Decides every race: of two requests with one key, one inserts the row and the other waits.';
COMMENT ON CONSTRAINT idempotency_records_stores_http_statuses ON idempotency_records IS 'Which statuses are final is an option of the engine (isFinal).';
COMMENT ON TABLE orders IS 'What a customer wants to buy. Written by the client through the API, then by the charge that pays it.';
COMMENT ON COLUMN orders.charge_id IS 'The charge that holds the open order, or that has paid it.';
COMMENT ON COLUMN orders.version IS 'Counts the changes. The ETag of the order is made from it.';
COMMENT ON TABLE products IS 'A product and its stock. Written by the client through the API; charges and shipments move the stock.';
COMMENT ON COLUMN products.held IS 'The part of on_hand that pending charges and paid orders have reserved.';
COMMENT ON TABLE stock_movements IS 'One change of a stock and its cause. Written in the transaction that changes the product, never updated.';
COMMENT ON CONSTRAINT stock_movements_pkey ON stock_movements IS 'A cause moves a product once in each way, however often it is repeated.';
COMMENT ON INDEX stock_movements_hold_ends_once IS 'The primary key allows one release and one booking of a hold. Together they would end it twice.';
COMMENT ON TABLE charges IS 'A purchase to be paid. Reserve writes it before the processor is called; settle writes how it ended.';
COMMENT ON COLUMN charges.amount IS 'In the minor unit of the currency, as everywhere.';
COMMENT ON COLUMN charges.lost_order_id IS 'The order that a rebuilt charge has paid, while that order is gone or cannot take it.';
COMMENT ON COLUMN charges.processor_parameters IS 'The exact request to the processor, as JSON text. Every attempt sends this.';
COMMENT ON COLUMN charges.processor_reference IS 'The id of the payment at the processor.';
COMMENT ON COLUMN charges.rebuilt_at IS 'When "npm run reconcile" rebuilt the row from the ledger of the processor. It has no idempotency record.';
COMMENT ON CONSTRAINT charges_pkey ON charges IS 'The id is derived from account, operation and key. This guard never expires.';
COMMENT ON INDEX charges_one_live_per_order IS 'The second guard: an order has one live charge, whatever the key, the client or the instance.';
COMMENT ON INDEX charges_by_status IS 'The list without a filter merges one scan for each status, so that a charge writes one index less.';
COMMENT ON INDEX charges_by_processor_reference IS 'A refund that was made in the dashboard of the processor names its payment, not the charge.';
COMMENT ON TABLE refunds IS 'Money that goes back for a charge. Reserve and settle write it, for a client or for a canceled sale; a notification or "npm run reconcile" writes one that was made at the processor.';
COMMENT ON COLUMN refunds.cause IS 'Why we owe the refund; null if a client asked for it. Repeats are named cause#2, cause#3 and so on.';
COMMENT ON COLUMN refunds.reversed_at IS 'When a refund that had succeeded failed. Its settled_at stays the time of its first end.';
COMMENT ON COLUMN refunds.rebuilt_at IS 'When the row was rebuilt from the ledger of the processor. It has no idempotency record.';
COMMENT ON INDEX refunds_one_live_per_cause IS 'A refund that we owe is made once. After one has failed, another may follow.';
COMMENT ON INDEX refunds_once_per_processor_reference IS 'One refund at the processor is one row, whichever path reports it.';
COMMENT ON TABLE events IS 'What has happened, written in the transaction that made it so: the outbox. The relay turns it into jobs and deliveries, and sets relayed_at.';
COMMENT ON CONSTRAINT events_pkey ON events IS 'The id is derived from account, type and cause: recorded again, it is the same event.';
COMMENT ON INDEX events_by_type IS 'Beside events_newest_first: no constraint closes the list of types, so no process could merge them all.';
COMMENT ON TABLE event_resends IS 'A request to deliver an event again. Written by the client through the API.';
COMMENT ON TABLE sent_emails IS 'A receipt, and the lease of the job that sends it. Written by that job.';
COMMENT ON TABLE fulfillments IS 'The shipment of a paid order. Written by the jobs of its steps.';
COMMENT ON CONSTRAINT fulfillments_order_key ON fulfillments IS 'One shipment for an order, however often the job runs.';
COMMENT ON TABLE sale_cancellations IS 'The decision to refund and cancel a paid order that cannot be shipped. Written once by the job that found it out, so that no later run decides otherwise.';
COMMENT ON CONSTRAINT sale_cancellations_pkey ON sale_cancellations IS 'An order is shipped or its sale is canceled. The first decision counts; the lock of the order protects it.';
COMMENT ON TABLE webhook_endpoints IS 'A URL to which the events of an account are delivered. Written by the client through the API.';
COMMENT ON TABLE webhook_secrets IS 'A secret that signs the deliveries to an endpoint. Written with the endpoint and at each rotation.';
COMMENT ON TABLE webhook_deliveries IS 'An event for an endpoint, and its schedule. Written by the relay or a resend, then by each attempt.';
COMMENT ON COLUMN webhook_deliveries.next_attempt_at IS 'When it is due. While an attempt runs, the end of its lease.';
COMMENT ON CONSTRAINT webhook_deliveries_pkey ON webhook_deliveries IS 'The id is derived from endpoint, event and, for a resend, its id: planned again, it is the same delivery.';
COMMENT ON INDEX webhook_deliveries_of_event IS 'The audit asks whether each event has its deliveries.';
COMMENT ON INDEX webhook_deliveries_due_of_endpoint IS 'Beside webhook_deliveries_due: finds what is due behind the backlog of another endpoint.';
COMMENT ON TABLE webhook_attempts IS 'One HTTP request of a delivery. Written by the process that sends it, before and after.';
COMMENT ON TABLE processor_events IS 'A notification from the processor. Written by the webhook that receives it, in the transaction that applies it.';
COMMENT ON COLUMN processor_events.charge_id IS 'No foreign key: a restore may have lost the charge. Such a notification waits.';
COMMENT ON CONSTRAINT processor_events_pkey ON processor_events IS 'Without the account: the id is the processor''s own. A notification that is sent again is found here.';
COMMENT ON TABLE parked_payments IS 'A payment or refund at the processor that does not fit our rows. Written by the transaction that finds it; a person resolves it with "npm run jobs". Never deleted.';
COMMENT ON COLUMN parked_payments.processor_reference IS 'The id of the payment or the refund at the processor.';
COMMENT ON COLUMN parked_payments.resolution IS 'What the person has done about it.';
COMMENT ON TABLE reconciliation_runs IS 'One run of "npm run reconcile", which writes it.';
COMMENT ON COLUMN reconciliation_runs.ended_at IS 'Null while the run goes on, and after it was killed.';
COMMENT ON TABLE reconciliation_differences IS 'A difference between our rows and the ledger of the processor. Written by the run that finds it.';
COMMENT ON COLUMN reconciliation_differences.repaired IS 'True: written in the transaction that repaired the difference.';
COMMENT ON TABLE naive_charges IS 'A charge without any guard, to compare with. Written by the naive lane of the lab, after the payment.';
