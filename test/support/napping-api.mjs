// The API process with another probe. It stops (SIGSTOP) until SIGCONT when as many requests as their header
// `nap-count` says have reached the points that their header `nap-at` names. Requests wait there, so that one stop
// interrupts them all, each at its own point. With `nap-how: noticing`, the process then first sees which of its
// connections have ended, used and idle ones. Runs from the build, because a child process has no Jest transforms.
import { setImmediate } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { requestHeaders } from './request-headers.mjs';

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/modules/src`;
const { AppModule } = await import(`${src}/app.module.js`);
const { loadConfig } = await import(`${src}/config.js`);
const { createHttpApp, serve } = await import(`${src}/http/http-process.js`);

let waiting = [];

class NappingProbe {
  async reached(point) {
    const headers = requestHeaders();
    if (headers['nap-at'] !== point) return;
    delete headers['nap-at']; // once: a retry after the nap passes the point again
    const woken = new Promise((resolve) => waiting.push(resolve));
    if (waiting.length === Number(headers['nap-count'])) {
      if (headers['nap-how'] !== 'noticing') await keepConnections();
      await nap(headers['nap-how'] === 'noticing');
      for (const wake of waiting) wake();
      waiting = [];
    }
    await woken;
  }
  ended() {}
}

/**
 * Each waiting request must find an open connection when the process continues. A request that found none would make a
 * new one, and know at once that it has sent nothing.
 */
async function keepConnections() {
  const { master } = app.get(DataSource).driver;
  const free = master.options.max - (master.totalCount - master.idleCount);
  const clients = await Promise.all(Array.from({ length: free }, () => master.connect()));
  for (const client of clients) client.release();
}

async function nap(noticing) {
  process.kill(process.pid, 'SIGSTOP');
  // TypeORM drops a connection as soon as it hears of its end, even between two statements.
  const { driver } = app.get(DataSource);
  const { connectedQueryRunners, master } = driver;
  while (noticing && connectedQueryRunners.length + master.idleCount > 0) await setImmediate();
}

const config = loadConfig();
const app = await createHttpApp(AppModule.forRoot(config, NappingProbe));
await serve(app, config.host, config.port, config.stopping);
