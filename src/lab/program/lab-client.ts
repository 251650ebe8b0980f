import { setTimeout as delay } from 'node:timers/promises';
import type { Goal, Run, Scenario } from '../run.js';

/** The lab refuses, or is not there; the message is fit to print. */
export class LabRefusal extends Error {}

/** The lab's program, as commands talk to it. */
export class LabClient {
  constructor(private readonly url: string) {}

  async catalogue(): Promise<{ scenarios: Scenario[]; goals: Goal[] }> {
    return this.ask('GET', '/api/catalogue');
  }

  /** Runs a scenario to its end. */
  async run(scenario: string, parameters: Record<string, string>): Promise<Run> {
    const { id } = await this.ask<{ id: string }>('POST', '/api/runs', { scenario, parameters });
    for (;;) {
      const run = await this.ask<Run>('GET', `/api/runs/${id}`);
      if (run.state !== 'running') return run;
      await delay(100);
    }
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
