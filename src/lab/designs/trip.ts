import { AsyncLocalStorage } from 'node:async_hooks';
import { openSync, writeSync } from 'node:fs';
import type { HostEvent, HostMessage, HostOptions } from './host.messages.js';

// What a host knows about the request that it serves: its run, and where it must wait. Each step is a line of the
// journal, written before the step, so that the journal is complete after a SIGKILL.

export interface Trip {
  run: string;
  attempt: number;
  /** Where this request waits until the experiment releases it. */
  holdAt: string | undefined;
}

export const options = JSON.parse(process.argv[2] ?? '{}') as HostOptions;
export const trip = new AsyncLocalStorage<Trip>();
const journal = openSync(options.journal, 'a');
/** Requests that wait at a point, by run and attempt. */
const held = new Map<string, () => void>();

process.on('message', ({ go }: { go: string }) => held.get(go)?.());
process.on('disconnect', () => process.exit());

/** Waits here if the request asks for it, until the experiment releases it or kills this process. */
export async function reached(point: string): Promise<void> {
  const { run = '', attempt = 0, holdAt } = trip.getStore() ?? {};
  if (holdAt !== point) return;
  const id = `${run}.${attempt}`;
  await new Promise<void>((go) => {
    held.set(id, go);
    send({ held: id });
  });
}

export function note(event: Omit<HostEvent, 'run' | 'attempt' | 'pid' | 'at'>): void {
  const { run = '', attempt = 1 } = trip.getStore() ?? {};
  if (run === '') return;
  const line: HostEvent = { run, attempt, pid: process.pid, at: Date.now(), ...event };
  writeSync(journal, `${JSON.stringify(line)}\n`);
}

export function send(message: HostMessage): void {
  process.send?.(message);
}
