import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startStack, type Stack } from '../support/stack.js';
import { until } from '../support/until.js';

/** A run, as the lab's program sends it: only the members that tests read. */
export interface LabRun {
  id: string;
  scenario: string;
  state: 'running' | 'ended' | 'failed';
  events: {
    seq: number;
    kind: string;
    text: string;
    track: string;
    pid?: number;
    lost?: boolean;
    detail?: { source?: { file: string; line: number }; curl?: string };
  }[];
  knowledge: { attempt: number; state: string; text: string }[];
  rows: { track: string; reconciled: object }[];
  verdict?: {
    sentence: string;
    payments: Record<string, number>;
    holds: boolean;
    answers?: object;
  };
}

export interface Item {
  id: number;
  event: string;
  data: unknown;
}

/** The lab of a stack, as its page uses it. */
export class Lab {
  constructor(private readonly stack: Stack) {}

  fetch(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(this.stack.labUrl + path, {
      redirect: 'manual',
      headers: { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    });
  }

  async begin(scenario: string, parameters: object = {}, faults: string[] = []): Promise<string> {
    const reply = await this.fetch('/api/runs', { scenario, parameters, faults });
    if (reply.status !== 201) throw new Error(`${reply.status} ${await reply.text()}`);
    return ((await reply.json()) as { id: string }).id;
  }

  async get(id: string): Promise<LabRun> {
    return (await this.fetch(`/api/runs/${id}`)).json() as Promise<LabRun>;
  }

  async ended(id: string): Promise<LabRun> {
    await until(async () => (await this.get(id)).state !== 'running');
    return this.get(id);
  }

  async run(scenario: string, parameters: object = {}, faults: string[] = []): Promise<LabRun> {
    return this.ended(await this.begin(scenario, parameters, faults));
  }

  async scenarios(): Promise<{ id: string; title: string }[]> {
    const catalogue = await (await this.fetch('/api/catalogue')).json();
    return (catalogue as { scenarios: { id: string; title: string }[] }).scenarios;
  }

  /** A run of the lost answer with the requests of the story. On a busy machine a client sends more. */
  async lostAnswer(): Promise<LabRun> {
    let run: LabRun | undefined;
    await until(async () => {
      run = await this.run('lost-answer');
      return run.knowledge.length === 4;
    });
    return run!;
  }

  /**
   * Plays a scenario until its events name their lines of source. The lab reads the source maps in the background, and
   * completes the events that it has sent already.
   */
  async untilSourcesAreRead(scenario: string): Promise<void> {
    await until(async () => {
      const { events } = await this.run(scenario);
      const sources = events.map(({ detail }) => detail?.source?.file);
      return sources.includes('src/idempotency/records.ts');
    });
  }

  /** Reads the stream of a run after that item, until it ends or has sent `most` items. */
  async items(id: string, after = 0, most = Infinity): Promise<Item[]> {
    const reply = await this.fetch(`/api/runs/${id}/events`, undefined, {
      ...(after > 0 && { 'last-event-id': String(after) }),
    });
    const items: Item[] = [];
    let text = '';
    for await (const chunk of reply.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const [, number, event, data] =
          /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
        text = text.slice(end + 2);
        if (data !== undefined)
          items.push({ id: Number(number), event: event!, data: JSON.parse(data) });
        if (items.length >= most) return items; // leaving the loop closes the connection
      }
    }
    return items;
  }

  /** How many payments the processor's ledger has for each track of a run. */
  async ledgerOf(id: string): Promise<Record<string, number>> {
    const client = new pg.Client({ connectionString: this.stack.databaseUrl });
    await client.connect();
    try {
      const { rows } = await client.query<{ track: string; payments: number }>(
        `SELECT split_part(accounts.name, ' ', 3) AS track,
           count(*) FILTER (WHERE paid.status = 'succeeded')::int AS payments
         FROM accounts LEFT JOIN sandbox.payment_intents AS paid ON paid.metadata->>'account' = accounts.id
         WHERE accounts.name LIKE $1 GROUP BY track`,
        [`lab ${id} %`],
      );
      return Object.fromEntries(rows.map(({ track, payments }) => [track, payments]));
    } finally {
      await client.end();
    }
  }
}

/** A stack whose lab is ready. */
export interface StartedLab {
  stack: Stack;
  lab: Lab;
  /** What the lab has written to disk, as lines. */
  journal(): Promise<string>;
  stop(): Promise<void>;
}

export async function startLab(): Promise<StartedLab> {
  const dataDir = await mkdtemp(join(tmpdir(), 'charge-once-lab-'));
  // A lease of 4 s and a job lock of 6 s, so that tests that wait for their end take less time.
  const env = { PROCESSOR_TIMEOUT_MS: '2000', JOB_LOCK_SECONDS: '6' };
  const stack = await startStack({ dataDir, env });
  const lab = new Lab(stack);
  // On a busy machine the first call of a new process takes longer than those 2 s.
  await until(async () => (await lab.run('lost-request')).verdict?.payments.naive === 1);
  return {
    stack,
    lab,
    async journal() {
      const folder = join(dataDir, 'lab');
      const name = (await readdir(folder)).find((each) => each.endsWith('.ndjson'));
      return readFile(join(folder, name ?? ''), 'utf8');
    },
    async stop() {
      await stack.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A credential in plain text. The journal has only masked ones. */
export const SECRET = /(?:sk_test_|whsec_)(?!\*\*\*)|Bearer (?!\$LAB_KEY)/i;

/** A run as in a file: exported by the lab or the proof, or made by a stranger. */
export const OPENED_RUN = {
  id: 'w',
  scenario: 'witness',
  title: '<img src=x onerror=alert(1)>',
  parameters: {},
  startedAt: '',
  state: 'ended',
  events: [
    {
      seq: 1,
      atMs: 0,
      track: 'keyed',
      from: 'lab',
      to: 'lab',
      kind: 'violation',
      text: 'Violation of “one receipt”', // fits a diagram without lines
    },
  ],
  knowledge: [],
  rows: [],
  verdict: { sentence: '2 payments', payments: { keyed: 2 }, holds: false },
};

/**
 * The drawing without what differs between runs: ids, times, order, and notifications, which may arrive after the end.
 */
export function structureOf(svg: string): string[] {
  const events = [...svg.matchAll(/<g class="(event [^"]*)"[^>]*>[^]*?<title>([^<]*)<\/title>/g)];
  const knows = [...svg.matchAll(/<g class="(knows \w+)"/g)];
  const named = events.map(([, kind, title = '']) => {
    return `${kind}: ${title
      .replace(/ +key \S+/, ' key …')
      .replace(/\b(ch|pi|evt)_\w+/g, '$1_…')
      .replace(/, until [\d.]+ s/, '')}`;
  });
  const inTime = named.filter((line) => !line.startsWith('event notification'));
  return [...inTime, ...knows.map(([, kind]) => kind!)].sort();
}
