import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Run } from '../run.js';
import type { StreamItem } from './live-run.js';

/** A stored run with its stream, which has the order of the items. */
export interface KeptRun {
  visitor: string;
  run: Run;
  stream: StreamItem[];
}

/** Ids of the lab's own runs, of the gallery's runs, and of runs from a file. */
export const RUN_ID = /^(?:[0-9a-f]{12}|g[0-9a-f]{8}|o[0-9a-f]{16})$/;

/** Runs that have ended, one file each, so that links to them work after a restart of the lab. */
export class RunFiles {
  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  keep(run: KeptRun): void {
    const file = this.file(run.run.id);
    writeFileSync(`${file}.draft`, JSON.stringify(run), { mode: 0o600 });
    renameSync(`${file}.draft`, file); // a reader never sees half a file
  }

  find(id: string): KeptRun | undefined {
    if (!RUN_ID.test(id)) return undefined;
    try {
      return JSON.parse(readFileSync(this.file(id), 'utf8')) as KeptRun;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) rmSync(this.file(id), { force: true });
  }

  removeAll(): void {
    for (const name of readdirSync(this.folder)) rmSync(join(this.folder, name), { force: true });
  }

  private file(id: string): string {
    return join(this.folder, `${id}.json`);
  }
}
