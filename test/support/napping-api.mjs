// The API process with another probe: where the file NAP_FILE names a point, it falls asleep there (SIGSTOP) once, and
// goes on when it is sent SIGCONT. Where the file says `noticing` as well, it first sees what has happened to its
// connections meanwhile, those that are in use and those that are not. From the build: a child process knows nothing of Jest's transforms.
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
      return; // no nap is ordered
    }
    const [at, noticing] = wanted.split(' ');
    if (at !== point) return;
    rmSync(process.env.NAP_FILE);
    process.kill(process.pid, 'SIGSTOP');
    // TypeORM lets go of a connection as soon as it hears of its end, between two statements as well.
    const { driver } = app.get(DataSource);
    const { connectedQueryRunners, master } = driver;
    while (noticing && connectedQueryRunners.length + master.idleCount > 0) await setImmediate();
  }
  ended() {}
}

const config = loadConfig();
const app = await createHttpApp(AppModule.forRoot(config, NappingProbe));
await serve(app, config.host, config.port);
