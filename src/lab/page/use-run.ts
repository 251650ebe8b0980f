import { useEffect, useReducer } from 'preact/hooks';
import type { Run } from '../run.js';
import { ask, follow, LabError, type Connection, type Listeners } from './api.js';

type Change = { id: string; apply: (run: Run) => Run } | { opened: Run } | { closed: true };

function reduce(run: Run | undefined, change: Change): Run | undefined {
  if ('closed' in change) return undefined;
  if ('opened' in change) return change.opened;
  return run?.id === change.id ? change.apply(run) : run;
}

const TROUBLES: Record<Connection, Error | undefined> = {
  open: undefined,
  waiting: new LabError('The connection to the lab is lost. The page connects again by itself …'),
  gone: new LabError('The lab was restarted, and this run has ended. Run it again.'),
};

/**
 * A run, live: each event that the lab records is added as it comes.
 * @param onError undefined when an error is over.
 */
export function useRun(
  id: string | undefined,
  onError: (error: Error | undefined) => void,
): Run | undefined {
  const [run, change] = useReducer(reduce, undefined);
  useEffect(() => {
    if (id === undefined) return change({ closed: true });
    let stop = () => {};
    let isOver = false;
    let connection: Connection = 'open';
    const onConnection = (now: Connection) => {
      if (now !== 'open' || connection !== 'open') onError(TROUBLES[now]);
      if (now === 'gone') apply((old) => ({ ...old, state: 'failed' }));
      connection = now;
    };
    const apply = (edit: (run: Run) => Run) => change({ id, apply: edit });
    ask<Run>(`/api/runs/${id}`)
      .then((opened) => {
        if (isOver) return;
        if (opened.state !== 'running') return change({ opened });
        // The stream begins at its beginning.
        change({ opened: { ...opened, events: [], knowledge: [], rows: [] } });
        const listeners: Listeners = {
          event: (event) => apply((old) => ({ ...old, events: [...old.events, event] })),
          detail: ({ seq, detail }) =>
            apply((old) => ({
              ...old,
              events: old.events.map((event) =>
                event.seq === seq ? { ...event, detail: { ...event.detail, ...detail } } : event,
              ),
            })),
          rows: (rows) => apply((old) => ({ ...old, rows: [...old.rows, rows] })),
          knows: (knows) => apply((old) => ({ ...old, knowledge: [...old.knowledge, knows] })),
          verdict: (verdict) => apply((old) => ({ ...old, verdict })),
          end: ({ state }) => apply((old) => ({ ...old, state })),
        };
        stop = follow(`/api/runs/${id}/events`, listeners, onConnection);
      })
      .catch(onError);
    return () => {
      isOver = true;
      stop();
    };
  }, [id]);
  return run;
}
