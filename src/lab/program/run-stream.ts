import type { Request, Response } from 'express';

/** Shorter than the idle timeout of any proxy or browser. */
const HEARTBEAT_MS = 15_000;

export interface Item {
  id: number;
  type: string;
  data: unknown;
}

export interface Stream {
  /** Numbered from 1, without a gap. The one of type `end` is the last. */
  items: readonly Item[];
  /** Absent if the run has ended. @returns a function that ends the subscription. */
  onChange?: (listener: () => void) => () => void;
  /** Replaces the JSON text of an item before it is sent. */
  textOf?: (item: Item) => string;
}

/** Server-sent events. A reader that reconnects sends `Last-Event-ID`, and misses no item. */
export function sendStream(stream: Stream, request: Request, response: Response): void {
  const { items, onChange, textOf = ({ data }) => JSON.stringify(data) } = stream;
  const last = Number(request.get('Last-Event-ID') ?? request.query.after ?? 0);
  let next = Number.isInteger(last) && last > 0 ? Math.min(last, items.length) : 0;
  const isOver = !onChange || items.at(-1)?.type === 'end';
  if (isOver && next >= items.length) return void response.status(204).end(); // a browser does not reconnect after 204
  response.set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  const push = () => {
    // What a slow reader has not read stays in `items`, instead of a buffer for each reader.
    while (next < items.length && !response.writableNeedDrain) {
      const item = items[next++]!;
      response.write(`id: ${item.id}\nevent: ${item.type}\ndata: ${textOf(item)}\n\n`);
      if (item.type === 'end') return end();
    }
    if (isOver && next >= items.length) end();
  };
  const heartbeat = setInterval(() => response.write(':\n\n'), HEARTBEAT_MS);
  const unsubscribe = onChange?.(push);
  const end = () => {
    clearInterval(heartbeat);
    unsubscribe?.();
    response.end();
  };
  response.on('drain', push).on('close', end);
  push();
}
