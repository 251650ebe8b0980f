import { Router } from 'express';
import { cancelIntent, confirmIntent, insertIntent, lockIntent } from './payment-intents.ledger.js';
import { intentObject, type IntentRow } from './payment-intents.object.js';
import {
  readConfirmOptions,
  readExpand,
  readIntent,
  readPaymentMethod,
} from './payment-intents.params.js';
import { misbehaviourOf } from './payment-methods.table.js';
import { MISSING_PARAMETERS } from './protocol/missing-parts.js';
import { Params, refuseImpossibleId } from './protocol/form.params.js';
import {
  type Answer,
  idempotent,
  type IdempotencyOptions,
  type Plan,
} from './protocol/idempotency.middleware.js';
import { LIST_PARAMS, listPage } from './protocol/list.query.js';
import { errorBody, invalidRequest, missingParameter, noSuch } from './protocol/stripe.errors.js';

const CONFIRM_PARAMS = ['error_on_requires_action', 'off_session', 'return_url'];

/** docs.stripe.com/api/payment_intents: create, retrieve, list, confirm, cancel. */
export function paymentIntentsRouter(options: IdempotencyOptions): Router {
  const { pool } = options;
  const router = Router();
  router.param('id', refuseImpossibleId('payment_intent', 'intent'));

  router.post('/payment_intents', idempotent(options, planCreate));
  router.post('/payment_intents/:id/confirm', idempotent(options, planConfirm));
  router.post('/payment_intents/:id/cancel', idempotent(options, planCancel));

  router.get('/payment_intents', async (req, res) => {
    const params = Params.ofQuery(req.originalUrl)
      .without(MISSING_PARAMETERS.listIntents)
      .only(...LIST_PARAMS, 'expand[]');
    const expand = readExpand(params, 'data.').map((path) => path.slice('data.'.length));
    const { rows, hasMore } = await listPage<IntentRow>(
      pool,
      { table: 'sandbox.payment_intents', noun: 'payment_intent' },
      params,
    );
    res.json({
      object: 'list',
      data: rows.map((row) => intentObject(row, expand)),
      has_more: hasMore,
      url: '/v1/payment_intents',
    });
  });

  router.get('/payment_intents/:id', async (req, res) => {
    const params = Params.ofQuery(req.originalUrl).only('expand[]', 'client_secret');
    const expand = readExpand(params);
    const secret = params.text('client_secret');
    const { rows } = await pool.query<IntentRow>(
      'SELECT * FROM sandbox.payment_intents WHERE id = $1',
      [req.params.id],
    );
    if (!rows[0]) throw noSuch(404, 'payment_intent', req.params.id, 'intent');
    const intent = intentObject(rows[0], expand);
    if (secret !== undefined && secret !== intent.client_secret)
      throw invalidRequest('The client_secret is not that of the PaymentIntent.', 'client_secret');
    res.json(intent);
  });

  return router;
}

const planCreate: Plan = async (_tx, params) => {
  params
    .without(MISSING_PARAMETERS.createIntent)
    .only(
      ...['amount', 'currency', 'payment_method', 'payment_method_types[]', 'description'],
      ...['metadata[*]', 'receipt_email', 'automatic_payment_methods[enabled]', 'expand[]'],
      ...['automatic_payment_methods[allow_redirects]', 'capture_method', 'confirm'],
      ...CONFIRM_PARAMS,
    );
  const intent = readIntent(params);
  const expand = readExpand(params);
  const confirm = params.boolean('confirm') ?? false;
  const options = readConfirmOptions(params);
  const misplaced = CONFIRM_PARAMS.find((name) => params.has(name));
  if (!confirm && misplaced) {
    throw invalidRequest(`You can only use ${misplaced} when confirm is true.`, misplaced);
  }
  const { paymentMethod } = intent;
  if (!confirm) {
    // This takes no money, so it does not misbehave: only payments do.
    return {
      misbehaviour: 'none',
      run: async (tx) => ok(await insertIntent(tx, intent), expand),
    };
  }
  if (!paymentMethod) throw missingParameter('payment_method');
  return {
    misbehaviour: misbehaviourOf(paymentMethod),
    run: async (tx) =>
      confirmIntent(tx, await insertIntent(tx, intent), { paymentMethod, ...options }, expand),
  };
};

const planConfirm: Plan = async (tx, params, path) => {
  params
    .without(MISSING_PARAMETERS.confirmIntent)
    .only('payment_method', 'receipt_email', 'expand[]', ...CONFIRM_PARAMS);
  const id = path.id ?? '';
  const given = readPaymentMethod(params);
  const options = readConfirmOptions(params);
  const expand = readExpand(params);
  const current = await lockIntent(tx, id);
  const expected = given ?? current.payment_method;
  const confirmable = !isFinal(current) && expected;
  return {
    misbehaviour: confirmable ? misbehaviourOf(expected) : 'none',
    run: async (tx) => {
      // Read again, because a slow confirmation runs in a later transaction than the read above.
      const intent = await lockIntent(tx, id);
      const paymentMethod = given ?? intent.payment_method;
      if (isFinal(intent)) {
        return unexpectedState(
          intent,
          intent.status === 'succeeded'
            ? 'You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.'
            : `You cannot confirm this PaymentIntent because it has a status of ${intent.status}.`,
        );
      }
      if (!paymentMethod) {
        return unexpectedState(
          intent,
          "You cannot confirm this PaymentIntent because it's missing a payment method.",
        );
      }
      return confirmIntent(tx, intent, { paymentMethod, ...options }, expand);
    },
  };
};

const planCancel: Plan = async (tx, params, path) => {
  params.only('cancellation_reason', 'expand[]');
  const id = path.id ?? '';
  const expand = readExpand(params);
  const reasons = ['duplicate', 'fraudulent', 'requested_by_customer', 'abandoned'] as const;
  const reason = params.oneOf('cancellation_reason', reasons) ?? null;
  await lockIntent(tx, id);
  return {
    misbehaviour: 'none',
    run: async (tx) => {
      const intent = await lockIntent(tx, id);
      if (isFinal(intent)) {
        return unexpectedState(
          intent,
          `You cannot cancel this PaymentIntent because it has a status of ${intent.status}. ` +
            'Only a PaymentIntent with one of the following statuses may be canceled: ' +
            'requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.',
        );
      }
      return ok(await cancelIntent(tx, id, reason), expand);
    },
  };
};

/** Returned, not thrown: execution has begun, so Stripe stores this answer under the key. */
function unexpectedState(intent: IntentRow, message: string): Answer {
  const payment_intent = intentObject(intent);
  return {
    status: 400,
    body: errorBody({
      type: 'invalid_request_error',
      code: 'payment_intent_unexpected_state',
      message,
      payment_intent,
    }),
  };
}

function ok(intent: IntentRow, expand: string[]): Answer {
  return { status: 200, body: intentObject(intent, expand) };
}

function isFinal(intent: IntentRow): boolean {
  return intent.status === 'succeeded' || intent.status === 'canceled';
}
