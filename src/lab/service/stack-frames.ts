/** Enough to reach our own frames, which lie below those of libraries. */
const MAX_FRAMES = 40;

/**
 * Which of our lines caused the current call, as `<file>:<line>:<column>` of the built file. The lab's program finds
 * the source line in the source map. That takes a second of CPU, too long for this process.
 */
export function stackFrames(): string[] {
  const before = {
    stackTraceLimit: Error.stackTraceLimit,
    prepareStackTrace: Reflect.get(Error, 'prepareStackTrace') as unknown,
  };
  Error.stackTraceLimit = MAX_FRAMES;
  Error.prepareStackTrace = (_error, sites) => sites;
  const sites = new Error().stack as unknown as NodeJS.CallSite[];
  Object.assign(Error, before);
  const frames: string[] = [];
  let last: string | undefined;
  for (const site of sites) {
    const file = site.getFileName();
    if (!file?.startsWith('file:') || file.includes('/node_modules/')) continue;
    const position = `${site.getLineNumber()}:${site.getColumnNumber()}`;
    frames.push(file === last ? position : `${file}:${position}`);
    last = file;
  }
  return frames;
}
