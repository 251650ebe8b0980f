// The API process with another probe. When a request reaches the point that the file NAP_FILE names, the process stops
// once (SIGSTOP) until SIGCONT. If the file also says `noticing`, it then first sees which of its connections have
// ended, used and idle ones. Runs from the build, because a child process has no Jest transforms.
import { readFileSync, rmSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { DataSource } from 'typeorm';

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/modules/src`;
const { AppModule } = await import(`${src}/app.module.js`);
const { loadConfig } = await import(`${src}/config.js`);
const { createHttpApp, serve } = await import(`${src}/http/http-process.js`);

class NappingProbe {
  async reached(point) {
    let wanted;
    try {
      wanted = readFileSync(process.env.NAP_FILE, 'utf8');
    } catch {
      return; // there is no such file
    }
    const [at, noticing] = wanted.split(' ');
    if (at !== point) return;
    rmSync(process.env.NAP_FILE);
    process.kill(process.pid, 'SIGSTOP');
    // TypeORM drops a connection as soon as it hears of its end, even between two statements.
    const { driver } = app.get(DataSource);
    const { connectedQueryRunners, master } = driver;
    while (noticing && connectedQueryRunners.length + master.idleCount > 0) await setImmediate();
  }
  ended() {}
}

const config = loadConfig();
const app = await createHttpApp(AppModule.forRoot(config, NappingProbe));
await serve(app, config.host, config.port, config.stopping);
