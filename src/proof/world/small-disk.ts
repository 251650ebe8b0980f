import { execFile } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Enough for the data of an hour. A full disk takes this much memory. */
const SIZE = '512m';

const BLOCK = Buffer.alloc(1 << 20);

/** A file system in memory, small enough to be filled. */
export class SmallDisk {
  private readonly ballast: string;

  private constructor(readonly path: string) {
    this.ballast = join(path, 'ballast');
  }

  /** @returns undefined if this user may not mount, or the system is not Linux. */
  static async mount(path: string): Promise<SmallDisk | undefined> {
    await mkdir(path, { recursive: true });
    const disk = new SmallDisk(path);
    await disk.unmount().catch(() => undefined); // left by a killed campaign
    const options = `size=${SIZE},mode=0755`;
    const isMounted = run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]).then(
      () => true,
      () => false,
    );
    return (await isMounted) ? disk : undefined;
  }

  /** Writes until no space is left. */
  async fill(): Promise<void> {
    const file = await open(this.ballast, 'a');
    try {
      for (let size = BLOCK.length; size >= 512;) {
        const isWritten = await file.write(BLOCK, 0, size).then(() => true, whetherFull);
        if (!isWritten) size /= 2;
      }
    } finally {
      await file.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.ballast, { force: true });
  }

  async unmount(): Promise<void> {
    await run('umount', [this.path]);
  }
}

function whetherFull(error: NodeJS.ErrnoException): false {
  if (error.code === 'ENOSPC') return false;
  throw error;
}
