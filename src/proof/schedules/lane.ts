import pg from 'pg';
import { Session, type Rewrite } from './gated-database.js';

/** Its own database, in which one schedule runs at a time: the sweep sees the records of all accounts. */
export class Lane {
  private readonly sessions: Session[] = [];

  private constructor(
    private readonly url: string,
    /** The controller's own connection. */
    readonly control: pg.Client,
    private readonly rewrite: Rewrite,
  ) {}

  /**
   * @param url of a migrated database that nothing else uses.
   * @param rewrite changes the actors' statements, to see that a known bug is found. By default it changes nothing.
   */
  static async open(url: string, rewrite: Rewrite = (sql) => sql): Promise<Lane> {
    const control = new pg.Client({ connectionString: url });
    await control.connect();
    return new Lane(url, control, rewrite);
  }

  /** The connection of the actor with that number. */
  async session(number: number): Promise<Session> {
    const session = (this.sessions[number] ??= new Session(this.url, this.rewrite));
    await session.connect();
    return session;
  }

  async close(): Promise<void> {
    for (const session of this.sessions) await session.close();
    await this.control.end();
  }
}
