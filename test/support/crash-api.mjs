// The API process with another probe. It kills itself (SIGKILL) when DIES_WITH requests have reached the point that
// their header `die-at` names. Requests wait there, so that one kill interrupts them all, each at its own point. Runs
// from the build, because a child process has no Jest transforms.
import { requestHeaders } from './request-headers.mjs';

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/src`;
const { AppModule } = await import(`${src}/app.module.js`);
const { run, startHttp } = await import(`${src}/programs/run-program.js`);

let missing = Number(process.env.DIES_WITH);
process.once('disconnect', () => process.exit(1)); // a graceful stop would wait for these requests

class CrashProbe {
  reached(point) {
    if (point !== requestHeaders()['die-at']) return undefined;
    missing -= 1;
    process.send('dying');
    if (missing === 0) process.kill(process.pid, 'SIGKILL');
    return new Promise(() => {});
  }
}

await run((config) => startHttp(AppModule.forRoot(config, CrashProbe), config, config.port));
