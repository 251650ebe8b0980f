import pg from 'pg';
import { Session } from './gated-database.js';

/** A database of its own, in which one schedule runs at a time: the sweep sees the records of all accounts. */
export class Lane {
  private readonly sessions: Session[] = [];

  private constructor(
    private readonly url: string,
    /** The controller's own connection. */
    readonly control: pg.Client,
  ) {}

  /** @param url of a migrated database that nothing else uses. */
  static async open(url: string): Promise<Lane> {
    const control = new pg.Client({ connectionString: url });
    await control.connect();
    return new Lane(url, control);
  }

  /** The connection of the actor with that number. */
  async session(number: number): Promise<Session> {
    const session = (this.sessions[number] ??= new Session(this.url));
    await session.connect();
    return session;
  }

  async close(): Promise<void> {
    for (const session of this.sessions) await session.close();
    await this.control.end();
  }
}
