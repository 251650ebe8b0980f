import type { Tx } from './ledger.schema.js';
import { intentObject, type IntentRow, newId } from './payment-intents.object.js';
import {
  type Decline,
  findPaymentMethod,
  paymentMethodObject,
  type PaymentMethod,
} from './payment-methods.table.js';
import type { Answer } from './protocol/idempotency.middleware.js';
import { errorBody, type ErrorBody, noSuch } from './protocol/stripe.errors.js';
import { insertEvent } from './webhooks/events.ledger.js';

export interface NewIntent {
  /** In the currency's minor unit. */
  amount: number;
  currency: string;
  paymentMethod: string | null;
  paymentMethodTypes: string[];
  allowRedirects: string | null;
  description: string | null;
  receiptEmail: string | null;
  metadata: Record<string, string>;
}

export interface Confirmation {
  paymentMethod: string;
  errorOnRequiresAction: boolean;
  offSession: boolean;
}

export async function insertIntent(tx: Tx, intent: NewIntent): Promise<IntentRow> {
  const { rows } = await tx.query<IntentRow>(
    `INSERT INTO sandbox.payment_intents (id, amount, currency, status, payment_method,
       payment_method_types, allow_redirects, description, receipt_email, metadata)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *`,
    [
      newId('pi_'),
      intent.amount,
      intent.currency,
      intent.paymentMethod ? 'requires_confirmation' : 'requires_payment_method',
      intent.paymentMethod,
      intent.paymentMethodTypes,
      intent.allowRedirects,
      intent.description,
      intent.receiptEmail,
      intent.metadata,
    ],
  );
  return only(rows);
}

/** @throws StripeError 404 `resource_missing`, blaming `param` */
export async function lockIntent(tx: Tx, id: string, param = 'intent'): Promise<IntentRow> {
  const { rows } = await tx.query<IntentRow>(
    'SELECT * FROM sandbox.payment_intents WHERE id = $1 FOR UPDATE',
    [id],
  );
  if (!rows[0]) throw noSuch(404, 'payment_intent', id, param);
  return rows[0];
}

/** Takes the money, or declines. The caller has locked the row and checked its status. */
export async function confirmIntent(
  tx: Tx,
  intent: IntentRow,
  confirmation: Confirmation,
  expand: string[],
): Promise<Answer> {
  const name = confirmation.paymentMethod;
  const method = findPaymentMethod(name);
  const charge = newId('ch_');
  const decline = declineOf(method, confirmation);
  if (!decline && method?.outcome === 'authenticate') {
    const action = await update(tx, intent.id, { status: 'requires_action', payment_method: name });
    await insertEvent(tx, 'payment_intent.requires_action', intentObject(action));
    return { status: 200, body: intentObject(action, expand) };
  }
  if (!decline) {
    const paid = await update(tx, intent.id, {
      status: 'succeeded',
      payment_method: name,
      amount_received: intent.amount,
      latest_charge: charge,
      last_payment_error: null,
    });
    await insertEvent(tx, 'payment_intent.succeeded', intentObject(paid));
    return { status: 200, body: intentObject(paid, expand) };
  }
  const error: ErrorBody = {
    type: 'card_error',
    code: decline.code,
    decline_code: decline.declineCode,
    message: decline.message,
    charge,
    payment_method: paymentMethodObject(name),
  };
  const declined = await update(tx, intent.id, {
    status: 'requires_payment_method',
    payment_method: null,
    latest_charge: charge,
    last_payment_error: errorBody(error).error,
  });
  await insertEvent(tx, 'payment_intent.payment_failed', intentObject(declined));
  return { status: 402, body: errorBody({ ...error, payment_intent: intentObject(declined) }) };
}

export async function cancelIntent(tx: Tx, id: string, reason: string | null): Promise<IntentRow> {
  const { rows } = await tx.query<IntentRow>(
    `UPDATE sandbox.payment_intents
     SET status = 'canceled', canceled_at = now(), cancellation_reason = $2
     WHERE id = $1 RETURNING *`,
    [id, reason],
  );
  const canceled = only(rows);
  await insertEvent(tx, 'payment_intent.canceled', intentObject(canceled));
  return canceled;
}

/** Adds to the refunded amount. A refund that fails later passes a negative amount. */
export async function addRefunded(tx: Tx, id: string, amount: number): Promise<IntentRow> {
  const { rows } = await tx.query<IntentRow>(
    `UPDATE sandbox.payment_intents SET amount_refunded = amount_refunded + $2 WHERE id = $1 RETURNING *`,
    [id, amount],
  );
  return only(rows);
}

function declineOf(
  method: PaymentMethod | undefined,
  { errorOnRequiresAction, offSession }: Confirmation,
): Decline | undefined {
  if (!method || method.outcome === 'approve') return undefined;
  if (method.outcome !== 'authenticate') return method.outcome;
  if (errorOnRequiresAction) {
    return {
      code: 'authentication_required',
      declineCode: 'authentication_not_handled',
      message:
        'This payment required an authentication action to complete, but `error_on_requires_action` was set.',
    };
  }
  if (!offSession) return undefined;
  return {
    code: 'authentication_required',
    declineCode: 'authentication_required',
    message: 'Your card was declined. This transaction requires authentication.',
  };
}

async function update(tx: Tx, id: string, set: Partial<Omit<IntentRow, 'id'>>): Promise<IntentRow> {
  // The column names are keys of our own literals, never input.
  const columns = Object.keys(set).map((column, i) => `${column} = $${i + 2}`);
  const { rows } = await tx.query<IntentRow>(
    `UPDATE sandbox.payment_intents SET ${columns.join(', ')} WHERE id = $1 RETURNING *`,
    [id, ...Object.values(set)],
  );
  return only(rows);
}

function only<Row>(rows: Row[]): Row {
  const [row] = rows;
  if (!row) throw new Error('the row is locked by this transaction and must exist');
  return row;
}
