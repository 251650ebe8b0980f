// `npm run shop`, while `npm start` runs: the checkout page and its server. Try a double click, a reload, a second tab.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pay } from './merchant.mjs';

// PORT is the API's port, so that the settings of `npm start` work here, too.
const api = process.env.API_URL || `http://127.0.0.1:${process.env.PORT || 3000}`;
const apiKey = process.env.API_KEY || 'sk_test_acme';
const port = Number(process.env.SHOP_PORT || 3004);
const file = (name) => readFile(new URL(name, import.meta.url), 'utf8');

/** Asks the API. A GET and a PUT need no key. */
async function ask(path, init) {
  const headers = { Authorization: `Bearer ${apiKey}`, 'Content-Type': 'application/json' };
  const response = await fetch(api + path, { ...init, headers });
  const body = await response.json();
  if (!response.ok) throw new Error(`${path}: ${body.detail}`);
  return body;
}

/** Each visit of `/` is a new purchase. The address names the order: a reload or a second tab is the same purchase. */
async function newOrder(response) {
  const items = [{ sku: 'mug', quantity: 1, unit_amount: 1999 }];
  const id = `order_${randomUUID()}`;
  await ask(`/orders/${id}`, { method: 'PUT', body: JSON.stringify({ currency: 'usd', items }) });
  response.writeHead(303, { Location: `/orders/${id}` }).end();
}

async function page(id, response) {
  const html = await file('checkout.html');
  response
    .writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' })
    .end(html.replaceAll('order_8472', id));
}

async function script(response) {
  const code = await file('checkout.js');
  response.writeHead(200, { 'Content-Type': 'text/javascript; charset=utf-8' }).end(code);
}

async function handle(request, response) {
  const route = `${request.method} ${request.url}`;
  const order = /^GET \/orders\/(order_[\w-]{1,58})$/.exec(route)?.[1];
  if (route === 'GET /') return newOrder(response);
  if (route === 'GET /orders/checkout.js') return script(response);
  if (order) return page(order, response);
  if (route !== 'POST /pay') return response.writeHead(404).end();
  await pay(request, response, { api, apiKey });
  console.log(`pay: ${response.statusCode}`);
}

const shop = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(`${api}: ${error.message}`);
    if (!response.headersSent) response.writeHead(502, { 'Content-Type': 'text/plain' });
    response.end(
      `${api} does not answer as expected. Is \`npm start\` running? PORT or API_URL sets another address.`,
    );
  });
});
shop.on('error', (error) => {
  console.error(error.code === 'EADDRINUSE' ? `Port ${port} is taken; set SHOP_PORT.` : error);
  process.exit(1);
});
shop.listen(port, '127.0.0.1', () =>
  console.log(`shop: http://127.0.0.1:${shop.address().port}/ (charges at ${api})`),
);
