import { writeFile } from 'node:fs/promises';

/** How often a process reads its offset, in ms. */
const LOOK_MS = 50;

/**
 * A module for `--import`: shifts `Date` by as many ms as the file says. Timers and `performance.now()` are not
 * shifted, as after a jump of the system's clock.
 */
export function shiftedClock(file: string): string {
  const source = `import { readFileSync } from 'node:fs';
let offset = 0;
setInterval(() => {
  try { offset = Number(readFileSync(${JSON.stringify(file)}, 'utf8')); } catch {}
}, ${LOOK_MS}).unref();
const now = Date.now.bind(Date);
Date.now = () => now() + offset;
globalThis.Date = new Proxy(Date, {
  construct: (target, args, type) => Reflect.construct(target, args.length > 0 ? args : [Date.now()], type),
  apply: () => new Date().toString(),
});`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** @param offsetMs 0: the right time again */
export async function shiftClock(file: string, offsetMs: number): Promise<void> {
  await writeFile(file, String(offsetMs));
}
