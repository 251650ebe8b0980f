import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';

/** For the probes of the tests' API processes: tells them which request has reached a point. */
const headers = new AsyncLocalStorage();
subscribe('http.server.request.start', ({ request }) => headers.enterWith(request.headers));

/** The headers of the request that is being handled; none outside of a request. */
export const requestHeaders = () => headers.getStore() ?? {};
