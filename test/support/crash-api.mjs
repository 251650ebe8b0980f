// The API process with another probe: it dies by SIGKILL when the CRASH_WHEN-th request (default: the first) reaches
// the point CRASH_AT; those before it stay there until then, so that one death hits them all at the same point.
// From the build: a child process knows nothing of Jest's transforms.

const src = `${process.env.CHARGE_ONCE_TEST_BUILD}/src`;
const { AppModule } = await import(`${src}/app.module.js`);
const { run, startHttp } = await import(`${src}/run.js`);

const { CRASH_AT, CRASH_WHEN = '1' } = process.env;
let arrived = 0;
process.once('disconnect', () => process.exit(1)); // requests that wait for their death would hold up a graceful stop

class CrashProbe {
  reached(point) {
    if (point !== CRASH_AT) return undefined;
    arrived += 1;
    if (arrived < Number(CRASH_WHEN)) return new Promise(() => {});
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => {});
  }
}

await run((config) => startHttp(AppModule.forRoot(config, CrashProbe), config, config.port));
