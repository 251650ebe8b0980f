import { Worker } from 'node:worker_threads';
import type { Source } from '../journal.js';
import { report } from './trouble.js';

interface Found {
  source: Source | undefined;
}

/** Finds our source line for the stack frames that the recorder writes. */
export class SourceLines {
  private readonly found = new Map<string, Found>();
  private readonly asked = new Map<string, ((source: Source) => void)[]>();
  private thread: Worker | undefined;

  /** Starts to read the source maps. Call it when a page is opened. */
  start(): void {
    if (this.thread) return;
    // Relative to a program's bundle. Single modules do not have this file there: then no line is found.
    this.thread = new Worker(new URL('../lab/program/source-lines.thread.js', import.meta.url), {
      execArgv: [], // not the supervisor's --import, which ends a process without an IPC channel; a thread has none
    });
    this.thread.unref();
    this.thread.on('error', (error) => report('the diagrams have no source lines', error));
    this.thread.on('message', ({ key, source }: { key: string } & Found) => {
      this.found.set(key, { source });
      const waiting = this.asked.get(key) ?? [];
      this.asked.delete(key);
      if (source) for (const then of waiting) then(source);
    });
  }

  /** @param later called with the result if it is not known yet. */
  of(frames: string[], later: (source: Source) => void): Source | undefined {
    if (frames.length === 0) return undefined;
    const key = frames.join(' ');
    const found = this.found.get(key);
    if (found) return found.source;
    const waiting = this.asked.get(key);
    if (waiting) waiting.push(later);
    else {
      this.asked.set(key, [later]);
      this.start();
      this.thread?.postMessage({ key, frames });
    }
    return undefined;
  }
}
