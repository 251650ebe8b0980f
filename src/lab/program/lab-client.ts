import { setTimeout as delay } from 'node:timers/promises';
import type { Cell, Goal, Run, Scenario, StormEvent } from '../run.js';

/** The lab refused, or cannot be reached. The message can be printed unchanged. */
export class LabRefusal extends Error {}

/** The commands' client of the lab's program. */
export class LabClient {
  constructor(readonly url: string) {}

  async catalogue(): Promise<{ scenarios: Scenario[]; goals: Goal[] }> {
    return this.ask('GET', '/api/catalogue');
  }

  /** Runs a scenario to its end. */
  async run(scenario: string, parameters: Record<string, string>): Promise<Run> {
    const { id } = await this.ask<{ id: string }>('POST', '/api/runs', { scenario, parameters });
    return this.ended(id);
  }

  /** @returns the URL at which the page shows the run of a file */
  async open(json: unknown): Promise<string> {
    const { id } = await this.ask<{ id: string }>('POST', '/api/opened', json as object);
    return `${this.url}/runs/${id}`;
  }

  /** Every design under every fault; takes a minute. */
  async matrix(): Promise<{ cells: Cell[]; holds: boolean }> {
    const { id } = await this.ask<{ id: string }>('POST', '/api/matrix', {});
    const cells: Cell[] = [];
    let end: { holds?: boolean; error?: string } = {};
    await this.stream(`/api/matrix/${id}/events`, (type, data) => {
      if (type === 'cell') cells.push(data as Cell);
      if (type === 'end') end = data as typeof end;
    });
    if (end.error) throw new LabRefusal(`the matrix could not be run: ${end.error}`);
    return { cells, holds: end.holds === true };
  }

  /** @param onTick called for each attempt of a client. */
  async storm(
    seed: number | undefined,
    purchases: number,
    onTick: (tick: StormEvent) => void,
  ): Promise<Run> {
    const { id } = await this.ask<{ id: string }>('POST', '/api/storm', { seed, purchases });
    await this.stream(`/api/runs/${id}/events`, (type, data) => {
      if (type === 'storm') onTick(data as StormEvent);
    });
    return this.ended(id);
  }

  private async ended(id: string): Promise<Run> {
    for (;;) {
      const run = await this.ask<Run>('GET', `/api/runs/${id}`);
      if (run.state !== 'running') return run;
      await delay(100);
    }
  }

  /** Reads server-sent events to their end. */
  private async stream(path: string, on: (type: string, data: unknown) => void): Promise<void> {
    const response = await fetch(`${this.url}${path}`).catch(ended);
    if (!response.ok) throw new LabRefusal(`the lab answered ${response.status}`);
    const decoder = new TextDecoder();
    let text = '';
    const chunks = response.body as unknown as AsyncIterable<Uint8Array>;
    const read = async () => {
      for await (const chunk of chunks) {
        text += decoder.decode(chunk, { stream: true });
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) {
          const [, type, data] = /^event: (\w+)\ndata: (.*)$/m.exec(block) ?? [];
          if (type !== undefined && data !== undefined) on(type, JSON.parse(data));
        }
      }
    };
    await read().catch(ended);
  }

  private async ask<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { 'Content-Type': 'application/json', 'X-Lab-Visitor': 'terminal' },
      ...(body && { body: JSON.stringify(body) }),
    }).catch(() => {
      throw new LabRefusal(
        `No lab answers at ${this.url}. Run \`npm start\` in another terminal, or \`npm run demo\`, which needs nothing.`,
      );
    });
    const answer = (await response.json()) as Answer & { error?: string };
    if (!response.ok) throw new LabRefusal(answer.error ?? `the lab answered ${response.status}`);
    return answer;
  }
}

function ended(cause: unknown): never {
  throw new LabRefusal('The lab has ended meanwhile. Start it again with `npm start`.', { cause });
}
