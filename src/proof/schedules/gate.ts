import { nameOf } from '../../log/redacted-error.js';

/** One line of a schedule's table. */
export interface Step {
  actor: string;
  /** The first words of the statement, or what happens instead of one. */
  what: string;
  /** Empty while the statement is blocked. */
  result: string;
}

/**
 * - `running`: its code runs, or its statement was released and has not ended.
 * - `ready`: its next statement waits for the controller.
 * - `away`: it waits for something outside of PostgreSQL, such as a payment.
 */
export type Status = 'running' | 'ready' | 'away' | 'ended' | 'crashed';

/** Stops one actor before each of its statements, until the controller releases it. */
export class Gate {
  status: Status = 'running';
  /** The statement that waits, or that was released last. */
  step: Step;
  /** The sessions whose locks the released statement waits for. */
  blockers = '';
  /** A transaction is open in which a statement has ended: it may hold locks. */
  inTransaction = false;
  /** The next statement is a poll: the engine waits for another request's answer. */
  polls = false;
  /** The statement compares the expiry of a lease or of an answer with the clock. */
  readsClock = false;
  private open: () => void = () => undefined;

  constructor(
    readonly actor: string,
    /** Called when the actor stops at a statement, waits or ends. */
    private readonly changed: () => void,
  ) {
    this.step = { actor, what: '', result: '' };
  }

  /** Waits for the controller, then runs one statement. After a crash it never returns. */
  async pass<T>(sql: string, act: () => Promise<T>, result: (value: T) => string): Promise<T> {
    if (this.status === 'crashed') return never();
    this.step = { actor: this.actor, what: firstWords(sql), result: '' };
    this.readsClock = sql.includes('expires_at <=');
    this.status = 'ready';
    this.blockers = '';
    await new Promise<void>((resolve) => {
      this.open = resolve;
      this.changed();
    });
    try {
      const value = await act();
      if (this.hasCrashed()) return await never();
      this.step.result = result(value);
      return value;
    } catch (error) {
      if (this.hasCrashed()) return never();
      this.step.result = nameOf(error);
      throw error;
    }
  }

  get blocked(): boolean {
    return this.blockers !== '';
  }

  release(): Step {
    this.status = 'running';
    this.polls = false;
    this.open();
    return this.step;
  }

  /** Waits for an event that another actor's step causes. @param onEvent calls its argument inside of that step. */
  async waitFor(onEvent: (happened: () => void) => void): Promise<void> {
    this.status = 'away';
    await new Promise<void>((resolve) => {
      onEvent(() => {
        if (this.status !== 'away') return;
        this.status = 'running';
        resolve();
      });
      this.changed();
    });
  }

  crash(): void {
    this.status = 'crashed';
    this.blockers = '';
  }

  end(): void {
    if (this.status === 'crashed') return;
    this.status = 'ended';
    this.blockers = '';
    this.changed();
  }

  private hasCrashed(): boolean {
    return this.status === 'crashed';
  }
}

function firstWords(sql: string): string {
  const words = sql.replaceAll(/\s+/g, ' ').trim();
  return words.length > 60 ? `${words.slice(0, 59)}…` : words;
}

/** A dead process does nothing more. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}
