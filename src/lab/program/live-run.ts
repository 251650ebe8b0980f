import { EventEmitter } from 'node:events';
import type { JournalLine } from '../journal.js';
import type {
  EventDetail,
  Knowledge,
  Rows,
  Run,
  RunEvent,
  StormEvent,
  Track,
  Verdict,
} from '../run.js';
import { curlOfBytes, type WireRequest } from './client.js';
import { eventOf } from './events-of-lines.js';
import type { SourceLines } from './source-lines.js';

/** An item of a run's event stream. A reader that reconnects sends the last `id` as `Last-Event-ID`. */
export type StreamItem = { id: number } & (
  | { type: 'event'; data: RunEvent }
  | { type: 'detail'; data: { seq: number; detail: EventDetail } }
  | { type: 'storm'; data: StormEvent }
  | { type: 'rows'; data: Rows }
  | { type: 'knows'; data: Knowledge }
  | { type: 'verdict'; data: Verdict }
  | { type: 'end'; data: { state: Run['state']; error?: string } }
);

export interface TrackAccount {
  track: Track;
  account: string;
  apiKey: string;
}

/** A run and what is known about it only while it runs. */
export class LiveRun {
  readonly stream: StreamItem[] = [];
  readonly began = new Date();
  /** The requests that the runner sent, by track and attempt. */
  readonly sent = new Map<string, { request: WireRequest; bytes: string; curl: string }>();
  readonly stopping = new AbortController();
  private readonly changes = new EventEmitter().setMaxListeners(0);
  private ownAttempts = 0;
  private readonly lastStatement = new Map<string, string>();
  private readonly lastRows = new Map<Track, string>();

  constructor(
    readonly run: Run,
    readonly visitor: string,
    readonly accounts: TrackAccount[],
    private readonly sources: SourceLines,
  ) {}

  accountOf(track: Track): TrackAccount | undefined {
    return this.accounts.find((each) => each.track === track);
  }

  /** The API key of the item's account, for the curl command that repeats its request. */
  keyOf({ type, data }: StreamItem): string | undefined {
    if (type === 'event') return this.accountOf(data.track)?.apiKey;
    const event = type === 'detail' ? this.run.events[data.seq - 1] : undefined;
    return event && this.accountOf(event.track)?.apiKey;
  }

  get atMs(): number {
    return Date.now() - this.began.getTime();
  }

  /** A line of the journal that belongs to this run, or to all runs. */
  take(line: JournalLine): void {
    const atMs = Math.max(0, Math.round(line.at - this.began.getTime()));
    const known = this.accounts.find(({ account }) => account === line.account);
    if (this.isRepeated(line)) return;
    const tracks = known ? [known.track] : this.tracksHit(line);
    for (const track of tracks) {
      if (line.kind === 'knows') {
        const { state, text, attempt = 1 } = line;
        this.run.knowledge.push(this.push('knows', { atMs, track, attempt, state, text }));
        continue;
      }
      if (line.kind === 'body') {
        this.addBody(line);
        continue;
      }
      const drawn = eventOf(this.numbered(line), track, this);
      if (!drawn) continue;
      const event: RunEvent = { seq: this.run.events.length + 1, atMs, track, ...drawn };
      if (!known && isBroken(line)) event.text += ', by another run';
      if ('frames' in line) this.addSource(event, line.frames);
      this.run.events.push(event);
      this.push('event', { ...event }); // as it is now: what is completed later follows as a detail
      if (line.kind === 'response' && line.attempt === undefined) this.learn(line, track, atMs);
    }
  }

  /** The visitor's own client does not number its attempts. */
  private numbered(line: JournalLine): JournalLine {
    if (line.attempt !== undefined || (line.kind !== 'request' && line.kind !== 'response'))
      return line;
    if (line.kind === 'request') this.ownAttempts += 1;
    return { ...line, attempt: this.ownAttempts };
  }

  /** What the visitor's own client knows now, according to the response that the API sent. */
  private learn(line: JournalLine & { kind: 'response' }, track: Track, atMs: number): void {
    const { status, lost, replayed } = line;
    const state = lost || status >= 500 ? 'unknown' : status < 300 ? 'ok' : 'failed';
    const text = lost
      ? 'the connection closed without an answer'
      : `${status}${replayed ? ', replayed' : ''}`;
    const attempt = this.ownAttempts;
    this.run.knowledge.push(this.push('knows', { atMs, track, attempt, state, text }));
  }

  /** A waiting request polls with the same SELECT, which is shown once. */
  private isRepeated(line: JournalLine): boolean {
    if (line.kind !== 'statement') return false;
    const who = `${line.pid} ${line.attempt}`;
    const isRepeated = this.lastStatement.get(who) === line.sql && line.sql.startsWith('SELECT');
    this.lastStatement.set(who, line.sql);
    return isRepeated;
  }

  /** The first lookup of a source line is asynchronous: its result is sent after the event, as a detail. */
  private addSource(event: RunEvent, frames: string[]): void {
    const source = this.sources.of(frames, (later) => this.complete(event, { source: later }));
    if (source) event.detail = { ...event.detail, source };
  }

  /** The body of a request whose head was recorded when it arrived. */
  private addBody({ pid, key, text }: JournalLine & { kind: 'body' }): void {
    const head = `Idempotency-Key: ${key}`.toLowerCase();
    const event = this.run.events.findLast(
      ({ kind, pid: of, detail }) =>
        kind === 'request' &&
        of === pid &&
        detail?.bytes?.endsWith('\r\n') &&
        (key === undefined || detail.bytes.toLowerCase().includes(head)),
    );
    if (!event) return;
    const bytes = `${event.detail?.bytes}\r\n${text}`;
    this.complete(event, { bytes, curl: curlOfBytes(bytes) });
  }

  /** Adds what was not known when the event was sent. */
  private complete(event: RunEvent, detail: EventDetail): void {
    event.detail = { ...event.detail, ...detail };
    this.push('detail', { seq: event.seq, detail });
  }

  /** What happens to a process concerns every run. Drawn on the keyed track, or on the naive one if alone. */
  private tracksHit(line: JournalLine): Track[] {
    if (line.kind !== 'process' || this.run.state !== 'running') return [];
    if (line.program !== 'api' && line.program !== 'worker') return [];
    if (line.is === 'delayed') return []; // one request waits, not the process
    const said = ({ kind, pid }: RunEvent) => kind === 'killed' && pid === line.pid;
    if (line.is === 'ended' && this.run.events.some(said)) return [];
    return this.accounts
      .map(({ track }) => track)
      .filter((track) => track === 'keyed' || this.accounts.length === 1);
  }

  storm(event: Omit<StormEvent, 'atMs'>): void {
    this.push('storm', { ...event, atMs: this.atMs });
  }

  rows(rows: Rows): void {
    const { tables, reconciled, track } = rows;
    const text = JSON.stringify({ tables, reconciled });
    if (this.lastRows.get(track) === text) return;
    this.lastRows.set(track, text);
    this.run.rows.push(this.push('rows', rows));
  }

  verdict(verdict: Verdict): void {
    this.run.verdict = this.push('verdict', verdict);
  }

  end(state: Run['state'], error?: string): void {
    this.run.state = state;
    this.push('end', { state, ...(error !== undefined && { error }) });
  }

  private push<Type extends StreamItem['type']>(
    type: Type,
    data: Extract<StreamItem, { type: Type }>['data'],
  ): typeof data {
    if (this.run.state !== 'running' && type !== 'end') return data; // its stream has ended
    this.stream.push({ id: this.stream.length + 1, type, data } as StreamItem);
    this.changes.emit('change');
    return data;
  }

  onChange(listener: () => void): () => void {
    this.changes.on('change', listener);
    return () => this.changes.off('change', listener);
  }
}

/** A fault that a run has requested. Lines without an account come from the supervisor. */
function isBroken(line: JournalLine): boolean {
  const { kind, account } = line;
  return kind === 'process' && account !== undefined && ['killed', 'frozen'].includes(line.is);
}

/** The stream of a run that has ended, in the order of time. */
export function streamOfRun(run: Run): StreamItem[] {
  const items = [
    ...run.events.map((data) => ({ type: 'event' as const, data })),
    ...run.knowledge.map((data) => ({ type: 'knows' as const, data })),
    ...run.rows.map((data) => ({ type: 'rows' as const, data })),
  ].sort((one, other) => one.data.atMs - other.data.atMs);
  const verdict = run.verdict ? [{ type: 'verdict' as const, data: run.verdict }] : [];
  const end = { type: 'end' as const, data: { state: run.state } };
  return [...items, ...verdict, end].map((item, index) => ({ id: index + 1, ...item }));
}
