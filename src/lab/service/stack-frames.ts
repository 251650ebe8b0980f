/** Frames of libraries stand between the wire and us; these are enough to reach our own. */
const MOST_FRAMES = 40;

/**
 * Where the code is that asked for what is going on, as `<file>:<line>:<column>` of what Node runs. The lab's program
 * finds our line in the source map: that takes a second of a busy processor, which this process does not have.
 */
export function stackFrames(): string[] {
  const before = {
    stackTraceLimit: Error.stackTraceLimit,
    prepareStackTrace: Reflect.get(Error, 'prepareStackTrace') as unknown,
  };
  Error.stackTraceLimit = MOST_FRAMES;
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
