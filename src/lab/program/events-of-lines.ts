import type { JournalLine } from '../journal.js';
import type { Actor, EventDetail, RunEvent, Track } from '../run.js';

type Event = Omit<RunEvent, 'seq' | 'atMs' | 'track'>;

/** What the run knows of requests that the runner itself has sent. */
export interface SentRequests {
  sent: Map<string, { bytes: string; curl: string }>;
  began: Date;
}

/** A line of the journal as an arrow or a mark of the diagram. */
export function eventOf(line: JournalLine, track: Track, run: SentRequests): Event | undefined {
  const event = drawn(line, track, run);
  if (!event) return undefined;
  const { attempt, pid, writer } = line;
  return {
    ...event,
    ...(attempt !== undefined && { attempt }),
    ...((writer !== 'lab' || line.kind === 'process') && { pid }),
  };
}

function drawn(line: JournalLine, track: Track, { sent, began }: SentRequests): Event | undefined {
  const own: Actor = line.writer === 'worker' ? 'worker' : line.writer === 'lab' ? 'client' : 'api';
  switch (line.kind) {
    case 'request': {
      const known = sent.get(`${track}.${line.attempt}`);
      const { method, path, key, lost, bytes } = line;
      return {
        ...arrow(
          'request',
          'client',
          'api',
          `${method} ${path}${key ? `  key ${key.slice(0, 13)}` : ''}`,
        ),
        ...(lost && { lost }),
        detail: {
          bytes: known?.bytes ?? bytes,
          ...(known && { curl: known.curl }),
          faults: ['lose-request'],
        },
      };
    }
    case 'refused-connection':
      return {
        ...arrow('request', 'client', 'api', `${line.method} ${line.path}: connection refused`),
        lost: true,
        detail: { bytes: line.bytes },
      };
    case 'response': {
      const { status, replayed, lost, bytes } = line;
      const what = `${status}${codeIn(bytes)}`;
      return {
        ...arrow(
          replayed ? 'replay' : 'response',
          'api',
          'client',
          replayed ? `${what}, the stored answer` : what,
        ),
        ...(lost && { lost }),
        detail: { bytes, faults: ['lose-response'] },
      };
    }
    case 'statement': {
      const { sql, parameters } = line;
      return { ...arrow('statement', own, 'database', summary(sql)), detail: { sql, parameters } };
    }
    case 'committed':
      return {
        ...arrow(
          'commit',
          'database',
          own,
          line.text === 'COMMIT' ? 'COMMIT' : `COMMIT: ${grouped(line.text)}`,
        ),
        detail: { faults: faultsAtCommit(line.text) },
      };
    case 'nothing-written':
      return arrow('statement', 'database', own, line.text);
    case 'rolled-back':
      return arrow('rollback', 'database', own, refusalIn(line.text));
    case 'lease': {
      const untilMs = Math.round(line.untilMs - began.getTime());
      const text = line.over
        ? 'the lease is released'
        : `lease${line.epoch ? `, epoch ${line.epoch}` : ''}`;
      return { ...mark('lease', own, text), untilMs };
    }
    case 'call': {
      const { to, method, path, key, bytes } = line;
      return {
        ...arrow(
          to === 'processor' ? 'call' : 'message',
          own,
          to,
          `${method} ${path}${key ? `  key ${key.slice(0, 13)}` : ''}`,
        ),
        detail: {
          bytes,
          ...(to === 'processor' && own === 'api' && { faults: faultsAt('before-perform') }),
        },
      };
    }
    case 'answer': {
      const { from, status, error, outcome, bytes } = line;
      return {
        ...arrow(
          'answer',
          from,
          own,
          error ? `no answer: ${error}` : `${status}${outcome ? ` ${outcome}` : ''}`,
        ),
        ...(error && { lost: true }),
        detail: {
          bytes,
          ...(from === 'processor' && own === 'api' && { faults: faultsAt('after-perform') }),
        },
      };
    }
    case 'notification':
      return {
        ...arrow('notification', 'processor', 'api', line.type),
        ...(line.lost && { lost: true }),
        detail: { bytes: line.bytes },
      };
    case 'job':
      return mark('job', 'worker', `${line.name} ${line.state}`);
    case 'mail':
      return arrow('message', 'worker', 'mail', `${shortened(line.subject)}, to ${line.to}`);
    case 'point':
      return {
        ...mark('point', own, line.point),
        detail: own === 'api' ? { faults: faultsAt(line.point) } : {},
      };
    case 'hang-up':
      return { ...arrow('response', 'api', 'client', line.text), lost: true };
    case 'note':
      return mark('note', 'lab', line.text);
    case 'process':
      return ofProcess(line);
    case 'body':
    case 'knows':
      return undefined;
  }
}

function ofProcess(line: JournalLine & { kind: 'process' }): Event | undefined {
  const { program, is, point } = line;
  if (program !== 'api' && program !== 'worker') return undefined;
  switch (is) {
    case 'killed':
      return mark('killed', program, `killed${point ? ` at ${point}` : ''}`);
    case 'frozen':
      return mark('frozen', program, `frozen${point ? ` at ${point}` : ''}`);
    case 'resumed':
      return mark('resumed', program, 'goes on');
    case 'delayed':
      return mark('note', program, `waits 3 s at ${point}`);
    case 'ready':
      return mark('started', program, `a new process, pid ${line.pid}`);
    case 'ended': // of a process that could not say so itself
      return mark('killed', program, `ended: ${point}`);
    case 'started':
      return undefined; // shown at `ready`, when the process can work
  }
}

function arrow(kind: RunEvent['kind'], from: Actor, to: Actor, text: string): Event {
  return { kind, from, to, text };
}

function mark(kind: RunEvent['kind'], at: Actor, text: string): Event & { detail?: EventDetail } {
  return { kind, from: at, to: at, text };
}

function faultsAt(point: string): string[] {
  return ['crash', 'freeze', 'delay'].map((does) => `${does}-${point}`);
}

function faultsAtCommit(text: string): string[] {
  if (text.includes('INSERT idempotency_records'))
    return [...faultsAt('before-reserve'), ...faultsAt('after-reserve')];
  if (text.includes('UPDATE idempotency_records')) return faultsAt('after-settle');
  return [];
}

/** `INSERT charges, INSERT events` as `INSERT charges, events`. */
function grouped(writes: string): string {
  let verb = '';
  const parts = writes.split(', ').map((write) => {
    const isSame = write.startsWith(`${verb} `);
    verb = write.split(' ')[0] ?? '';
    return isSame ? write.slice(verb.length + 1) : write;
  });
  return [...new Set(parts)].join(', ');
}

/** The refusals that a charge can get, in words. */
const REFUSALS: Record<string, string> = {
  23505: 'the key or id is there already',
  40001: 'another transaction was first',
  '40P01': 'a deadlock',
};

function refusalIn(text: string): string {
  const code = /^refused: SQLSTATE (\w+)$/.exec(text)?.[1] ?? '';
  return REFUSALS[code] ? `refused: ${REFUSALS[code]} (${code})` : text;
}

/** Shortens ids, as the rows beside the diagram show them. */
function shortened(text: string): string {
  return text.replaceAll(/\b([a-z]{2,4}_\w{8})\w+/g, '$1…');
}

function codeIn(bytes: string): string {
  const code = /"code":"(\w+)"/.exec(bytes)?.[1];
  const status = /"status":"(\w+)"/.exec(bytes)?.[1];
  return code ? ` ${code}` : status ? ` ${status}` : '';
}

function summary(sql: string): string {
  const writes = [...sql.matchAll(/(?<!FOR |KEY )\b(INSERT INTO|UPDATE|DELETE FROM) (\w+)/g)];
  if (writes.length > 0)
    return writes.map(([, verb, table]) => `${verb?.split(' ')[0]} ${table}`).join(' + ');
  if (sql.includes('add_job')) return 'enqueue jobs';
  const tables = [...sql.matchAll(/\bFROM (\w+)(?![\w(])/g)].map(([, name]) => name);
  const table = tables.find((name) => !/_at$/.test(name ?? ''));
  return table
    ? `SELECT ${table}${/FOR UPDATE/.test(sql) ? ' FOR UPDATE' : ''}`
    : sql.trim().slice(0, 40);
}
