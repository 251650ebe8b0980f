import type { Request, Response } from 'express';
import type { StreamItem } from './live-run.js';
import type { Runs } from './runs.js';

/** Less than any proxy's or browser's idle time. */
const HEARTBEAT_MS = 15_000;

/** Server-sent events of a run. A reader that comes back names the last one it had, and misses nothing. */
export function streamRun(runs: Runs, id: string, request: Request, response: Response): void {
  const { stream } = runs.find(id);
  const live = runs.findLive(id);
  const last = Number(request.get('Last-Event-ID') ?? request.query.after ?? 0);
  let next = Number.isInteger(last) && last > 0 ? last : 0;
  response.set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  const push = () => {
    for (; next < stream.length; next++) {
      const item = stream[next]!;
      response.write(textOf(item, live?.keyOf(item)));
      if (item.type === 'end') return end();
    }
  };
  const heartbeat = setInterval(() => response.write(':\n\n'), HEARTBEAT_MS);
  const unsubscribe = live?.onChange(push);
  const end = () => {
    clearInterval(heartbeat);
    unsubscribe?.();
    response.end();
  };
  request.on('close', end);
  push();
  if (!live) end();
}

function textOf({ id, type, data }: StreamItem, apiKey: string | undefined): string {
  const text = JSON.stringify(data);
  return `id: ${id}\nevent: ${type}\ndata: ${apiKey ? text.replaceAll('$LAB_KEY', apiKey) : text}\n\n`;
}
