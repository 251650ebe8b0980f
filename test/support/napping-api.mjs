// The API process with another probe: where the file NAP_FILE names a point, it falls asleep there (SIGSTOP) once, and
// goes on when it is sent SIGCONT. From dist: a child process knows nothing of Jest's transforms.
import { readFileSync, rmSync } from 'node:fs';
import { AppModule } from '../../dist/src/app.module.js';
import { loadConfig } from '../../dist/src/config.js';
import { createHttpApp, serve } from '../../dist/src/platform/http-process.js';

class NappingProbe {
  reached(point) {
    let wanted;
    try {
      wanted = readFileSync(process.env.NAP_FILE, 'utf8');
    } catch {
      return; // no nap is ordered
    }
    if (wanted !== point) return;
    rmSync(process.env.NAP_FILE);
    process.kill(process.pid, 'SIGSTOP');
  }
  ended() {}
}

const config = loadConfig();
await serve(await createHttpApp(AppModule.forRoot(config, NappingProbe)), config.host, config.port);
