import { text } from 'node:stream/consumers';
import { chargeOnce } from './charge-once.mjs';

/** `POST /pay`: the order and the key come from the page, the amount from the order, the API key from here. */
export async function pay(request, response, { api, apiKey }) {
  const answer = (status, body) =>
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  const purchase = read(await text(request));
  if (!purchase) {
    const detail = 'Send order, payment_method and key as JSON.';
    return answer(400, { retry: 'after_fix', detail }); // not sent to the API
  }
  const { key, ...body } = purchase;
  try {
    const charge = await chargeOnce({ api, apiKey, key, body });
    answer(charge.status, charge.body);
  } catch {
    answer(504, { retry: 'same_key' }); // outcome unknown; the page keeps its key
  }
}

/** The three strings that a payment needs; undefined if one is missing. */
function read(json) {
  try {
    const { order, payment_method, key } = JSON.parse(json);
    const texts = [order, payment_method, key].every((value) => typeof value === 'string');
    return texts && /^[!-~]{1,255}$/.test(key) ? { order, payment_method, key } : undefined;
  } catch {
    return undefined; // not JSON, or `null`
  }
}
