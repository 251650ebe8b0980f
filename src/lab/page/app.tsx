import { useEffect, useState } from 'preact/hooks';
import type { Run } from '../run.js';
import { ask, type Catalogue } from './api.js';
import { eventsShown } from './diagram-layout.js';
import { Gallery } from './gallery.js';
import { Goals, useGoals } from './goals.js';
import { Hero } from './hero.js';
import { KeyList, useKeys } from './keyboard.js';
import { OwnClient } from './own-client.js';
import { usePlayer } from './player.js';
import { RunView } from './run-view.js';
import { ScenarioForm } from './scenario-form.js';
import { Storm } from './storm.js';
import { useRun } from './use-run.js';

const ROOMS = ['story', 'gallery', 'storm', 'own client', 'goals'] as const;
type Room = (typeof ROOMS)[number];

/** The first story: what a room sees in five seconds. */
const FIRST = 'lost-answer';

export function App({ opened }: { opened: string | undefined }) {
  const [catalogue, setCatalogue] = useState<Catalogue | undefined>();
  const [error, setError] = useState('');
  const [room, setRoom] = useState<Room>('story');
  const [scenario, setScenario] = useState(FIRST);
  const [runId, setRunId] = useState(opened);
  const [isStarting, setStarting] = useState(false);
  const [selected, setSelected] = useState<number | undefined>();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const fail = ({ message }: Error) => setError(message);
  const run = useRun(runId, fail);
  const player = usePlayer(run);
  const reached = useGoals(run, catalogue?.scenarios ?? []);
  useEffect(() => {
    ask<Catalogue>('/api/catalogue').then(setCatalogue, fail);
  }, []);
  useEffect(() => {
    if (run && catalogue?.scenarios.some(({ id }) => id === run.scenario))
      setScenario(run.scenario); // of a shared link, or where something was broken
  }, [run?.id, catalogue]);
  const choose = (id: string) => {
    setScenario(id);
    setRunId(undefined);
    setSelected(undefined);
  };
  const isGallery = run?.scenario === 'gallery';
  const isFirst = scenario === FIRST && !isGallery;
  const chosen = isGallery ? undefined : catalogue?.scenarios.find(({ id }) => id === scenario);

  const begin = async (id: string, parameters: Run['parameters'] = {}, faults: string[] = []) => {
    setError('');
    setStarting(true);
    setSelected(undefined);
    try {
      setRunId((await ask<{ id: string }>('/api/runs', { scenario: id, parameters, faults })).id);
    } catch (refused) {
      fail(refused as Error);
    } finally {
      setStarting(false);
    }
  };
  const open = (id: string) => {
    setRunId(id);
    setSelected(undefined);
    setRoom('story');
  };
  const move = (by: number) => {
    const seqs = (['naive', 'keyed'] as const).flatMap((track) =>
      run ? eventsShown(run, track, { isDetailed: false }).map(({ seq }) => seq) : [],
    );
    setSelected(seqs[Math.max(0, Math.min(seqs.length - 1, seqs.indexOf(selected ?? -1) + by))]);
  };
  useKeys({
    Enter: () => void begin(scenario),
    j: () => move(1),
    k: () => move(-1),
    ArrowRight: () => player.step(1),
    ArrowLeft: () => player.step(-1),
    ' ': player.toggle,
    Escape: () => setSelected(undefined),
    '?': () => setHelpOpen(true),
    ...Object.fromEntries(ROOMS.map((name, i) => [String(i + 1), () => setRoom(name)])),
  });

  return (
    <>
      <header class="top">
        <b>charge-once</b> <span class="quiet">the lab</span>
        <nav aria-label="Rooms">
          {ROOMS.map((name) => (
            <button
              type="button"
              key={name}
              aria-pressed={room === name}
              onClick={() => setRoom(name)}
            >
              {name}
            </button>
          ))}
          <button
            type="button"
            class="plain"
            onClick={() => setHelpOpen(true)}
            aria-label="List of keys"
          >
            ?
          </button>
        </nav>
      </header>
      <main>
        {error && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
        {room === 'story' && isFirst && (
          <Hero
            run={run?.scenario === FIRST ? run : undefined}
            isStarting={isStarting || (run?.scenario === FIRST && run.state === 'running')}
            onRun={() => void begin(FIRST)}
          />
        )}
        {room === 'story' && catalogue && (
          <>
            <nav class="scenarios" aria-label="Scenarios">
              {catalogue.scenarios.map(({ id, title }) => (
                <button
                  type="button"
                  key={id}
                  aria-pressed={chosen?.id === id}
                  onClick={() => choose(id)}
                >
                  {title}
                </button>
              ))}
            </nav>
            {isGallery && run && <FromGallery run={run} onBack={() => setRoom('gallery')} />}
            {chosen && (
              <ScenarioForm
                key={chosen.id}
                scenario={chosen}
                run={run}
                onRun={(parameters) => void begin(chosen.id, parameters)}
              />
            )}
          </>
        )}
        {room === 'gallery' && catalogue && (
          <Gallery catalogue={catalogue} onOpen={open} onError={fail} />
        )}
        {room === 'storm' && <Storm onError={fail} />}
        {room === 'own client' && <OwnClient run={run} onOpen={setRunId} onError={fail} />}
        {room === 'goals' && catalogue && <Goals goals={catalogue.goals} reached={reached} />}
        {(room === 'story' || room === 'own client') && run && (
          <RunView
            {...{ run, player, selected }}
            onSelect={setSelected}
            onBreak={(fault) =>
              void (fault === 'late' ? begin('seven-days') : begin('custom', {}, [fault]))
            }
          />
        )}
      </main>
      <Footer links={catalogue?.links} onReset={() => void reset().catch(fail)} />
      {isHelpOpen && <KeyList onClose={() => setHelpOpen(false)} />}
    </>
  );

  async function reset() {
    await ask('/api/reset', {});
    localStorage.removeItem('charge-once-goals');
    location.href = '/';
  }
}

/** A cell of the matrix, opened. */
function FromGallery({ run, onBack }: { run: Run; onBack: () => void }) {
  return (
    <section class="scenario" aria-labelledby="story">
      <h1 id="story">{run.title}</h1>
      <p class={`verdict ${run.verdict?.holds ? 'good' : 'bad'}`}>{run.verdict?.sentence}</p>
      <button type="button" onClick={onBack}>
        Back to the gallery
      </button>
    </section>
  );
}

function Footer({
  links,
  onReset,
}: {
  links: Catalogue['links'] | undefined;
  onReset: () => void;
}) {
  return (
    <footer>
      {links && (
        <>
          <a href={links.docs}>API reference</a> <a href={links.processor}>processor’s ledger</a>{' '}
          <a href={links.ledger}>both ledgers</a>
        </>
      )}
      <button type="button" class="plain" onClick={onReset}>
        Reset
      </button>
    </footer>
  );
}
