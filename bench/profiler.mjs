// Preloaded into a program by profile.mjs: starts and stops a CPU profile by message, and sends it to the parent.
import { Session } from 'node:inspector/promises';

if (process.send) {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 1000 });
  process.on('message', async (method) => {
    const { profile } = await session.post(method);
    process.send(profile ?? null);
  });
  process.channel.unref();
}
