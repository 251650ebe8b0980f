// express-idempotency as its README shows it: the middleware on every POST, `isHit` in the handler.
import express from 'express';
import { getSharedIdempotencyService, idempotency } from 'express-idempotency';
import { authenticate, list, make } from './things.mjs';

const app = express();
app.use(authenticate);
app.get('/things', (request, response) => response.json(list(request.account)));
app.use(express.json());
app.post('*', idempotency());
for (const path of ['/things', '/others'])
  app.post(path, async (request, response) => {
    if (getSharedIdempotencyService().isHit(request)) return;
    const { status, body } = await make(request.account, request.body);
    response.status(status).send(body);
  });
app.listen(Number(process.env.PORT), '127.0.0.1');
