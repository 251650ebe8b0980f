import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ChildOptions,
  type SupervisedChild,
  supervise,
} from '../../../src/local/supervisor.js';

export const RUN_ON = 'setInterval(() => undefined, 1000);';

/** One supervised child for each test, in its own directory, and what its supervisor reported. */
export class Supervision {
  home = '';
  starts: { pid: number; at: number }[] = [];
  log: string[] = [];
  /** The last process that was seen ready. */
  seenReady: number | undefined;
  private child: SupervisedChild | undefined;

  async begin(): Promise<void> {
    this.home = await mkdtemp(join(tmpdir(), 'charge-once-supervisor-'));
    this.child = undefined;
    this.starts = [];
    this.log = [];
  }

  async end(): Promise<void> {
    await this.child?.stop(0);
    await rm(this.home, { recursive: true, force: true });
  }

  /** Each start of the child runs `body`. The child is ready once it has called `ready()`. */
  async run(body: string, more: Partial<ChildOptions> = {}): Promise<SupervisedChild> {
    const script = join(this.home, 'child.mjs');
    await writeFile(
      script,
      `import { writeFileSync, existsSync } from 'node:fs';
       const home = ${JSON.stringify(this.home)};
       const ready = () => writeFileSync(home + '/ready', String(process.pid));
       ${body}`,
    );
    return (this.child = supervise({
      name: 'child',
      script,
      env: {},
      isReady: async () => {
        const pid = Number(await readFile(join(this.home, 'ready'), 'utf8'));
        if (pid !== this.starts.at(-1)?.pid) return false;
        this.seenReady = pid;
        return true;
      },
      onStart: (pid) => this.starts.push({ pid, at: performance.now() }),
      log: (line) => this.log.push(line),
      ...more,
    }));
  }
}
