import { Router } from 'express';
import type pg from 'pg';
import { MISSING_PARAMETERS } from '../protocol/missing-parts.js';
import { Params, refuseImpossibleId } from '../protocol/form.params.js';
import { LIST_PARAMS, listPage } from '../protocol/list.query.js';
import { invalidRequest, noSuch } from '../protocol/stripe.errors.js';
import { eventObject, type EventRow, sendAgain } from './events.ledger.js';

/**
 * docs.stripe.com/api/events: retrieve and list. Also `retry`, the request behind `stripe events resend`: it sends an
 * event again immediately, to try out duplicate, late or reordered events:
 *
 *     curl -u sk_test_any: http://127.0.0.1:4242/v1/events
 *     curl -u sk_test_any: -X POST http://127.0.0.1:4242/v1/events/evt_…/retry
 *
 * @param sends whether this sandbox has a URL to send events to.
 */
export function eventsRouter(pool: pg.Pool, sends: boolean): Router {
  const router = Router();
  router.param('id', refuseImpossibleId('event', 'id'));

  router.get('/events', async (req, res) => {
    const params = Params.ofQuery(req.originalUrl)
      .without(MISSING_PARAMETERS.listEvents)
      .only(...LIST_PARAMS, 'type', 'types[]');
    const { rows, hasMore } = await listPage<EventRow>(
      pool,
      { table: 'sandbox.events', noun: 'event', where: typesOf(params) },
      params,
    );
    const data = rows.map(eventObject);
    res.json({ object: 'list', data, has_more: hasMore, url: '/v1/events' });
  });

  router.get('/events/:id', async (req, res) => {
    Params.ofQuery(req.originalUrl).without(MISSING_PARAMETERS.retrieve).only();
    const { id } = req.params;
    const { rows } = await pool.query<EventRow>('SELECT * FROM sandbox.events WHERE id = $1', [id]);
    if (!rows[0]) throw noSuch(404, 'event', id, 'id');
    res.json(eventObject(rows[0]));
  });

  router.post('/events/:id/retry', async (req, res) => {
    Params.parse(typeof req.body === 'string' ? req.body : '').only();
    if (!sends)
      throw invalidRequest('There is nowhere to send it: SANDBOX_WEBHOOK_URL is not set.');
    const event = await sendAgain(pool, req.params.id);
    if (!event) throw noSuch(404, 'event', req.params.id, 'id');
    res.json(eventObject(event));
  });

  return router;
}

/** Stripe's limit. */
const MAX_TYPES = 20;

/**
 * `type` is a name or a group such as `charge.*`; `types` contains only names. A wildcard that cannot match is
 * refused, so that a wrong filter does not look like an empty ledger.
 * @throws StripeError 400
 */
function typesOf(params: Params): [column: 'type', value: string | string[], operator?: 'LIKE'][] {
  const type = params.text('type');
  const types = params.list('types');
  if (type !== undefined && types.length > 0)
    throw invalidRequest('You may only specify one of these parameters: type, types.', 'type');
  if (types.length > MAX_TYPES)
    throw invalidRequest(`Invalid array: must have at most ${MAX_TYPES} elements`, 'types');
  if (types.includes(''))
    throw invalidRequest(
      'You passed an empty string in types.',
      'types',
      'parameter_invalid_empty',
    );
  if (types.some((name) => name.includes('*')))
    throw invalidRequest('Invalid types: only type takes a wildcard.', 'types');
  if (types.length > 0) return [['type', types]];
  if (type === undefined || type === '*') return [];
  if (!type.includes('*')) return [['type', type]];
  if (!/^[^*]+\.\*$/.test(type))
    throw invalidRequest('Invalid type: a wildcard ends a group, as in charge.*', 'type');
  return [['type', `${type.slice(0, -1).replace(/[\\%_]/g, '\\$&')}%`, 'LIKE']];
}
