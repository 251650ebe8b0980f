import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { JournalLine } from '../journal.js';
import type { Run } from '../run.js';
import type { Play } from '../scenarios/scenario.js';
import type { ArmedFaults } from '../service/armed-faults.js';
import type { Journal } from '../service/journal-writer.js';
import { RunFiles } from './run-files.js';
import type { JournalReader } from './journal-reader.js';
import type { LabDatabase } from './lab-database.js';
import { LiveRun, streamOfRun, type StreamItem } from './live-run.js';
import type { Item, Stream } from './run-stream.js';
import type { ProcessorLedger } from './processor-ledger.js';
import { RowsWatch } from './rows-watch.js';
import { Sleepers } from './sleepers.js';
import { SourceLines } from './source-lines.js';
import { Stage } from './stage.js';
import { reasonOf, reportUnlessAway } from './trouble.js';

/** How long API and worker may still write lines after the client has its answer. */
const LAST_LINES_MS = 40;
/** The most items of streams in memory, each about 1 KB. Beyond it, ended runs are read from their files. */
const MAX_ITEMS = 100_000;
/** In a class of thirty, each person has a few runs. More would only slow each other down. */
const MAX_RUNNING = 200;

interface Tools {
  apiUrl: string;
  db: LabDatabase;
  ledger: ProcessorLedger;
  journal: Journal;
  armed: ArmedFaults;
  folder: string;
  /** How long a frozen process stays frozen: longer than a lease. */
  frozenMs: number;
}

export class UnknownRun extends Error {}

/** The message is safe to show to the user. */
export class TooManyRuns extends Error {}

/** All runs, running and stored. */
export class Runs {
  private readonly live = new Map<string, LiveRun>();
  private readonly byAccount = new Map<string, LiveRun>();
  private readonly rows: RowsWatch;
  private readonly files: RunFiles;
  readonly sources = new SourceLines();
  readonly sleepers: Sleepers;
  reader: JournalReader;

  constructor(readonly tools: Tools) {
    this.files = new RunFiles(tools.folder);
    this.rows = new RowsWatch(tools.db, tools.ledger);
    this.sleepers = new Sleepers(tools.journal, tools.frozenMs);
  }

  /** Begins a run, which continues in the background. */
  async begin(
    play: Play,
    parameters: Run['parameters'],
    faults: readonly string[],
    visitor: string,
  ): Promise<LiveRun> {
    const run = await this.open(play.id, play.title, parameters, play.tracks, visitor);
    void this.play(play, run, faults);
    return run;
  }

  /** A run with its own accounts. Nothing plays it yet. @throws TooManyRuns */
  async open(
    scenario: string,
    title: string,
    parameters: Run['parameters'],
    tracks: Play['tracks'],
    visitor: string,
  ): Promise<LiveRun> {
    const running = [...this.live.values()].filter(({ run }) => run.state === 'running').length;
    if (running >= MAX_RUNNING)
      throw new TooManyRuns(`${running} runs are going on. Wait for one to end, or press Reset.`);
    const id = randomBytes(6).toString('hex');
    const accounts = await Promise.all(
      tracks.map(async (track) => ({
        track,
        ...(await this.tools.db.makeAccount(`lab ${id} ${track}`)),
      })),
    );
    const run: Run = {
      ...{ id, scenario, title, parameters, startedAt: new Date().toISOString() },
      ...{ state: 'running', events: [], knowledge: [], rows: [] },
    };
    const live = new LiveRun(run, visitor, accounts, this.sources);
    this.live.set(id, live);
    for (const { account } of accounts) this.byAccount.set(account, live);
    this.forgetOldest();
    return live;
  }

  private async play(play: Play, run: LiveRun, faults: readonly string[]): Promise<void> {
    const stage = new Stage(run.run.parameters, faults, { run, ...this.tools });
    try {
      const verdict = await play.play(stage);
      await this.conclude(run, () => run.verdict(verdict));
      this.finish(run, 'ended');
    } catch (error) {
      await this.fail(run, error);
    }
  }

  /** Ends a run that was stopped or has failed, and says in its diagram which of the two, and why. */
  async fail(run: LiveRun, error: unknown): Promise<void> {
    const isStopped = (error as Error).name === 'AbortError';
    if (!isStopped) reportUnlessAway(`the run ${run.run.id} failed`, error);
    const reason = isStopped ? undefined : reasonOf(error);
    const text = reason === undefined ? 'stopped' : `the run failed: ${reason}`;
    this.tools.journal.write({ kind: 'note', text }, { account: run.accounts[0]?.account });
    await this.end(run, 'failed', reason);
  }

  /** Reads the last lines and the last rows before it calls `then`. */
  private async conclude(run: LiveRun, then: () => void): Promise<void> {
    await delay(LAST_LINES_MS);
    this.reader.read();
    await this.rows.look(run);
    then();
  }

  /** Ends a run, even if its last rows cannot be read. */
  async end(run: LiveRun, state: Run['state'], error?: string): Promise<void> {
    await this.conclude(run, () => undefined).catch((error: unknown) =>
      reportUnlessAway(`the last rows of the run ${run.run.id} cannot be read`, error),
    );
    this.finish(run, state, error);
  }

  finish(run: LiveRun, state: Run['state'], error?: string): void {
    if (!this.live.has(run.run.id)) return; // forgotten by a reset
    this.rows.forget(run);
    run.end(state, error);
    this.files.keep({ visitor: run.visitor, run: run.run, stream: run.stream });
  }

  /** Each line of the journal, in its order. */
  take(line: JournalLine): void {
    this.sleepers.take(line);
    // All runs share the processes: one that dies or is frozen for a run affects all others.
    const isOfAll = line.account === undefined || line.kind === 'process';
    const runs = isOfAll ? this.live.values() : [this.byAccount.get(line.account!)];
    for (const run of runs) {
      if (!run || run.run.state !== 'running') continue;
      run.take(line);
      this.rows.after(line, run);
    }
  }

  private forgetOldest(): void {
    let items = 0;
    for (const { stream } of this.live.values()) items += stream.length;
    for (const run of this.live.values()) {
      if (items <= MAX_ITEMS) return;
      if (run.run.state === 'running') continue;
      items -= run.stream.length;
      this.forget(run);
    }
  }

  findLive(id: string): LiveRun | undefined {
    return this.live.get(id);
  }

  /** @throws UnknownRun */
  find(id: string): { run: Run; stream: StreamItem[] } {
    const found = this.live.get(id) ?? this.files.find(id);
    if (!found) throw new UnknownRun();
    return found;
  }

  /** The stream of a run. While the run is in memory, its curl commands contain the API key of its account. */
  streamOf(id: string): Stream {
    const live = this.live.get(id);
    if (!live) return { items: this.find(id).stream };
    const textOf = ({ id: number }: Item) => {
      const item = live.stream[number - 1]!;
      return JSON.stringify(item.data).replaceAll('$LAB_KEY', live.keyOf(item) ?? '$LAB_KEY');
    };
    return { items: live.stream, onChange: (listener) => live.onChange(listener), textOf };
  }

  /** Keeps a run that was made elsewhere. */
  keep(run: Run): void {
    this.files.keep({ visitor: '', run, stream: streamOfRun(run) });
  }

  /** The visitor's runs that are in memory, newest first. Runs that are only in files are not included. */
  of(
    visitor: string,
  ): Pick<Run, 'id' | 'scenario' | 'title' | 'startedAt' | 'state' | 'verdict'>[] {
    const own = [...this.live.values()].filter((each) => each.visitor === visitor);
    return own.reverse().map(({ run: { id, scenario, title, startedAt, state, verdict } }) => ({
      ...{ id, scenario, title, startedAt, state },
      ...(verdict && { verdict }),
    }));
  }

  /** Prepares a fault for the next request of the run's account, from any client. */
  arm(id: string, fault: string, visitor: string): void {
    const run = this.ownOf(visitor, id);
    this.tools.armed.arm(run.accounts[0]!.account, 'api', fault);
    const { account } = run.accounts[0]!;
    this.tools.journal.write({ kind: 'note', text: `armed: ${fault}` }, { account });
  }

  stop(id: string, visitor: string): void {
    this.ownOf(visitor, id).stopping.abort();
  }

  /** A link lets others look at a run, not change it. */
  private ownOf(visitor: string, id: string): LiveRun {
    const run = this.live.get(id);
    if (run?.visitor !== visitor) throw new UnknownRun();
    return run;
  }

  /** Stops and forgets the visitor's runs that are in memory. Without a visitor: all runs, also those in files. */
  reset(visitor?: string): void {
    const runs = [...this.live.values()].filter(
      (run) => visitor === undefined || run.visitor === visitor,
    );
    for (const run of runs) {
      run.stopping.abort();
      if (run.run.state === 'running') run.end('failed');
      this.forget(run);
    }
    if (visitor === undefined) this.files.removeAll();
    else this.files.remove(runs.map(({ run }) => run.id));
  }

  private forget({ run, accounts }: LiveRun): void {
    this.live.delete(run.id);
    for (const { account } of accounts) this.byAccount.delete(account);
  }
}
