import { useEffect, useState } from 'preact/hooks';
import type { Run } from '../run.js';
import { ask, type Catalogue } from './api.js';
import { eventsShown } from './diagram-layout.js';
import { Footer } from './footer.js';
import { Gallery } from './gallery.js';
import { Goals, useGoals } from './goals.js';
import { KeyList, useKeys } from './keyboard.js';
import { OwnClient } from './own-client.js';
import { usePlayer } from './player.js';
import { RunView } from './run-view.js';
import { Storm } from './storm.js';
import { FIRST, Story } from './story.js';
import { ROOMS, Top, type Room } from './top.js';
import { useRun } from './use-run.js';

/** @param opened the run that is named in the page's address. */
export function App({ opened }: { opened: string | undefined }) {
  const [catalogue, setCatalogue] = useState<Catalogue | undefined>();
  const [error, setError] = useState('');
  const [room, setRoom] = useState<Room>('story');
  const [scenario, setScenario] = useState(FIRST);
  const [parameters, setParameters] = useState<Run['parameters']>({});
  const [runId, setRunId] = useState(opened);
  const [isStarting, setStarting] = useState(false);
  const [selected, setSelected] = useState<number | undefined>();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const fail = (reason: Error | undefined) => setError(reason?.message ?? '');
  const run = useRun(runId, fail);
  const player = usePlayer(run);
  const reached = useGoals(run, catalogue?.scenarios ?? []);
  useEffect(() => {
    ask<Catalogue>('/api/catalogue').then(setCatalogue, fail);
  }, []);
  useEffect(() => {
    if (!run || !catalogue?.scenarios.some(({ id }) => id === run.scenario)) return;
    setScenario(run.scenario); // the run is from a shared link, or a fault was set in it
    setParameters(run.parameters);
  }, [run?.id, catalogue]);

  const open = (id: string | undefined) => {
    setRunId(id);
    setSelected(undefined);
    history.replaceState(null, '', id === undefined ? '/' : `/runs/${id}`); // a reload shows it again
  };
  const choose = (id: string) => {
    open(undefined);
    setScenario(id);
    setParameters({});
  };
  const begin = async (id: string, chosen: Run['parameters'] = {}, faults: string[] = []) => {
    setError('');
    setStarting(true);
    try {
      const body = { scenario: id, parameters: chosen, faults };
      open((await ask<{ id: string }>('/api/runs', body)).id);
    } catch (refused) {
      fail(refused as Error);
    } finally {
      setStarting(false);
    }
  };
  const move = (by: number) => {
    const seqs = (['naive', 'keyed'] as const).flatMap((track) =>
      run ? eventsShown(run, track, { isDetailed: false }).map(({ seq }) => seq) : [],
    );
    setSelected(seqs[Math.max(0, Math.min(seqs.length - 1, seqs.indexOf(selected ?? -1) + by))]);
  };
  useKeys({
    ...(room === 'story' && { Enter: () => void begin(scenario, parameters) }),
    j: () => move(1),
    k: () => move(-1),
    ArrowRight: () => player.step(1),
    ArrowLeft: () => player.step(-1),
    ' ': player.toggle,
    Escape: () => setSelected(undefined),
    '?': () => setHelpOpen(true),
    ...Object.fromEntries(ROOMS.map((name, i) => [String(i + 1), () => setRoom(name)])),
  });
  const show = (id: string) => {
    open(id);
    setRoom('story');
  };

  return (
    <>
      <Top room={room} onRoom={setRoom} onHelp={() => setHelpOpen(true)} />
      <main>
        {error && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
        {room === 'story' && catalogue && (
          <Story
            {...{ scenarios: catalogue.scenarios, scenario, parameters, run, isStarting }}
            onChoose={choose}
            onParameters={setParameters}
            onRun={() => void begin(scenario, parameters)}
            onBack={(to) => setRoom(to)}
          />
        )}
        {catalogue && (
          // Kept while another room is shown: a matrix takes a minute.
          <>
            <div hidden={room !== 'gallery'}>
              <Gallery catalogue={catalogue} onOpen={show} onError={fail} />
            </div>
            <div hidden={room !== 'storm'}>
              <Storm onOpen={show} onError={fail} />
            </div>
            <div hidden={room !== 'own client'}>
              <OwnClient run={run} onOpen={open} onError={fail} />
            </div>
            <div hidden={room !== 'goals'}>
              <Goals goals={catalogue.goals} reached={reached} />
            </div>
          </>
        )}
        {run && (room === 'story' || (room === 'own client' && run.scenario === 'own-client')) && (
          <RunView
            {...{ run, player, selected }}
            onSelect={setSelected}
            onBreak={(fault) => {
              setRoom('story');
              void (fault === 'late' ? begin('seven-days') : begin('custom', {}, [fault]));
            }}
          />
        )}
      </main>
      <Footer links={catalogue?.links} onOpen={show} onError={fail} />
      {isHelpOpen && <KeyList onClose={() => setHelpOpen(false)} />}
    </>
  );
}
