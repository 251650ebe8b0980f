import type { Run, Scenario } from '../run.js';
import { Hero } from './hero.js';
import { ScenarioForm } from './scenario-form.js';
import type { Room } from './top.js';

/** The first story. An audience understands it in five seconds. */
export const FIRST = 'lost-answer';

/** Runs of other rooms, which are opened here as diagrams. */
const FROM: Record<string, Room> = { gallery: 'gallery', storm: 'storm' };

export interface StoryProps {
  scenarios: readonly Scenario[];
  /** The id of the chosen scenario. */
  scenario: string;
  parameters: Run['parameters'];
  run: Run | undefined;
  isStarting: boolean;
  onChoose: (scenario: string) => void;
  onParameters: (parameters: Run['parameters']) => void;
  onRun: () => void;
  onBack: (to: Room) => void;
}

/** The list of the stories, and the chosen story. */
export function Story(props: StoryProps) {
  const { scenarios, scenario, parameters, run, isStarting, onChoose, onRun } = props;
  const from = run && FROM[run.scenario];
  const isOther = from !== undefined || run?.scenario === 'witness';
  const chosen = isOther ? undefined : scenarios.find(({ id }) => id === scenario);
  const isFirst = chosen?.id === FIRST;
  const own = run?.scenario === scenario ? run : undefined;
  return (
    <>
      {isFirst && (
        <Hero run={own} isStarting={isStarting || own?.state === 'running'} onRun={onRun} />
      )}
      <nav class="scenarios" aria-label="Scenarios">
        {scenarios.map(({ id, title }) => (
          <button
            type="button"
            key={id}
            aria-pressed={chosen?.id === id}
            onClick={() => onChoose(id)}
          >
            {title}
          </button>
        ))}
      </nav>
      {run && isOther && <Opened run={run} room={from} onBack={props.onBack} />}
      {chosen && (
        <ScenarioForm
          key={chosen.id}
          scenario={chosen}
          run={own}
          parameters={parameters}
          isSaid={isFirst}
          onParameters={props.onParameters}
          onRun={onRun}
        />
      )}
    </>
  );
}

interface OpenedProps {
  run: Run;
  /** The room that made the run. Undefined for a witness, which the proof made. */
  room: Room | undefined;
  onBack: (to: Room) => void;
}

/** A run of another room, or a witness. */
function Opened({ run, room, onBack }: OpenedProps) {
  return (
    <section aria-labelledby="story">
      <h1 id="story">{run.title}</h1>
      <p class={`verdict ${run.verdict?.holds ? 'good' : 'bad'}`}>{run.verdict?.sentence}</p>
      {room && (
        <button type="button" onClick={() => onBack(room)}>
          Back to the {room}
        </button>
      )}
    </section>
  );
}
