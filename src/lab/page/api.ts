import type {
  Cell,
  DesignInfo,
  EventDetail,
  FaultInfo,
  Goal,
  Run,
  Scenario,
  StormEvent,
} from '../run.js';

/** What the page can show and do. */
export interface Catalogue {
  scenarios: Scenario[];
  goals: Goal[];
  designs: DesignInfo[];
  faults: FaultInfo[];
  links: { api: string; docs: string; ledger: string; processor: string };
}

/** What the page shows when the lab refuses something. */
export class LabError extends Error {}

/** Each browser sees its own runs: in a class, thirty people share one lab. */
const visitor = visitorId();

export async function ask<Answer>(path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Lab-Visitor': visitor },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => {
    throw new LabError('The lab does not answer. Is npm start running?');
  });
  const isJson = response.headers.get('Content-Type')?.includes('json');
  const answer = (await (isJson ? response.json() : response.text())) as Answer & {
    error?: string;
  };
  if (!response.ok) throw new LabError(answer.error ?? `The lab answers ${response.status}.`);
  return answer;
}

export type Listeners = Partial<{
  [Type in keyof StreamData]: (data: StreamData[Type]) => void;
}>;

interface StreamData {
  event: Run['events'][number];
  detail: { seq: number; detail: EventDetail };
  rows: Run['rows'][number];
  knows: Run['knowledge'][number];
  verdict: NonNullable<Run['verdict']>;
  storm: StormEvent;
  cell: Cell;
  end: { state: Run['state']; error?: string };
}

/** The state of a stream. `gone`: the lab no longer knows the stream, for example after a restart. */
export type Connection = 'open' | 'waiting' | 'gone';

/**
 * Follows a stream of the lab. The browser reconnects by itself and names the last event that it has received. A hidden
 * tab does not follow: a browser opens six connections to one server, and a seventh tab could not even load.
 * @returns a function that ends it.
 */
export function follow(
  path: string,
  listeners: Listeners,
  onConnection: (connection: Connection) => void = () => undefined,
): () => void {
  let source: EventSource | undefined;
  let last = '';
  const disconnect = () => {
    source?.close();
    source = undefined;
  };
  const connect = () => {
    const stream = (source = new EventSource(last === '' ? path : `${path}?after=${last}`));
    stream.onopen = () => onConnection('open');
    stream.onerror = () =>
      onConnection(stream.readyState === EventSource.CLOSED ? 'gone' : 'waiting');
    const listen = (type: string, listener: (data: unknown) => void) =>
      stream.addEventListener(type, (message) => {
        const { data, lastEventId } = message as MessageEvent<string>;
        last = lastEventId;
        listener(JSON.parse(data));
      });
    for (const [type, listener] of Object.entries(listeners))
      listen(type, listener as (data: unknown) => void);
    stream.addEventListener('end', stop);
  };
  const turn = () => {
    if (document.hidden) disconnect();
    else if (!source) connect();
  };
  const stop = () => {
    document.removeEventListener('visibilitychange', turn);
    disconnect();
  };
  document.addEventListener('visibilitychange', turn);
  turn();
  return stop;
}

function visitorId(): string {
  const name = 'charge-once-visitor';
  try {
    const known = localStorage.getItem(name);
    if (known) return known;
    const made = crypto.getRandomValues(new Uint32Array(3)).join('-');
    localStorage.setItem(name, made);
    return made;
  } catch {
    return 'anyone'; // storage is disabled
  }
}
