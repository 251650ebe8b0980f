import { useEffect, useState } from 'preact/hooks';
import type { Goal, Run, Scenario } from '../run.js';
import { Icon } from './icon.js';

const NAME = 'charge-once-goals';

/** Goals that are ticked automatically, according to this browser's runs. */
export function useGoals(
  run: Run | undefined,
  scenarios: readonly Scenario[],
): ReadonlySet<string> {
  const [reached, setReached] = useState<ReadonlySet<string>>(load);
  useEffect(() => {
    if (!run || run.state === 'running') return;
    const found = [...reached, ...goalsOf(run, scenarios)];
    if (new Set(found).size === reached.size) return;
    setReached(new Set(found));
    try {
      localStorage.setItem(NAME, JSON.stringify([...new Set(found)]));
    } catch {
      // storage is disabled: they last as long as the page
    }
  }, [run?.id, run?.state]);
  return reached;
}

function goalsOf({ scenario, events, verdict }: Run, scenarios: readonly Scenario[]): string[] {
  const answers = events.filter(({ kind }) => kind === 'response' || kind === 'replay');
  const has = (status: string) => answers.some(({ text }) => text.startsWith(status));
  const facts: [string, boolean][] = [
    ['double-charge', (verdict?.payments.naive ?? 0) > 1],
    ['replay', events.some(({ kind, lost }) => kind === 'replay' && !lost)],
    ['conflict-409', has('409')],
    ['mismatch-422', has('422')],
    ['survive-kill', events.some(({ kind }) => kind === 'killed') && verdict?.holds === true],
  ];
  const seen = new Set(facts.map(([goal]) => goal));
  const promised = scenarios.find(({ id }) => id === scenario)?.goals ?? [];
  return [
    ...facts.filter(([, isReached]) => isReached).map(([goal]) => goal),
    ...promised.filter((goal) => !seen.has(goal) && verdict !== undefined),
  ];
}

/** Called on a reset. */
export function forgetGoals(): void {
  try {
    localStorage.removeItem(NAME);
  } catch {
    // storage is disabled: there is nothing to forget
  }
}

function load(): ReadonlySet<string> {
  try {
    return new Set(JSON.parse(localStorage.getItem(NAME) ?? '[]') as string[]);
  } catch {
    return new Set();
  }
}

export function Goals({
  goals,
  reached,
}: {
  goals: readonly Goal[];
  reached: ReadonlySet<string>;
}) {
  return (
    <section class="goals" aria-labelledby="goals-title">
      <h2 id="goals-title">
        Goals {goals.filter(({ id }) => reached.has(id)).length} of {goals.length}
      </h2>
      <ul>
        {goals.map(({ id, title, hint }) => (
          <li key={id} class={reached.has(id) ? 'done' : ''}>
            <Icon name={reached.has(id) ? 'done' : 'open'} /> {title}
            {reached.has(id) && <span class="visually-hidden"> (reached)</span>}
            {!reached.has(id) && <span class="quiet"> {hint}</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}
