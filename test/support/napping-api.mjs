// The API process with another probe: the process stops (SIGSTOP) until SIGCONT. It does so when a request reaches the
// point that the file NAP_FILE names, or when as many requests as `nap-with` says have reached the points that their
// header `nap-at` names; they wait there for each other. If the file or `nap-with` also says `noticing`, the process
// then first sees which of its connections have ended, used and idle ones. Runs from the build, because a child process
// has no Jest transforms.
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync, rmSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { DataSource } from 'typeorm';

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/modules/src`;
const { AppModule } = await import(`${src}/app.module.js`);
const { loadConfig } = await import(`${src}/config.js`);
const { createHttpApp, serve } = await import(`${src}/http/http-process.js`);

const wanted = new AsyncLocalStorage();
subscribe('http.server.request.start', ({ request: { headers } }) =>
  wanted.enterWith({ at: headers['nap-at'], with: headers['nap-with'] }),
);
let waiting = [];

class NappingProbe {
  async reached(point) {
    const group = wanted.getStore();
    if (group?.at === point) {
      group.at = undefined; // once
      const [count, how] = group.with.split(' ');
      const woken = new Promise((resolve) => waiting.push(resolve));
      if (waiting.length === Number(count)) {
        await nap(how === 'noticing');
        for (const wake of waiting) wake();
        waiting = [];
      }
      return woken;
    }
    let file;
    try {
      file = readFileSync(process.env.NAP_FILE, 'utf8');
    } catch {
      return undefined; // there is no such file
    }
    const [at, noticing] = file.split(' ');
    if (at !== point) return undefined;
    rmSync(process.env.NAP_FILE);
    return nap(noticing);
  }
  ended() {}
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
