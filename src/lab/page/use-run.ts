import { useEffect, useReducer } from 'preact/hooks';
import type { Run } from '../run.js';
import { ask, follow } from './api.js';

type Change = { id: string; apply: (run: Run) => Run } | { opened: Run } | { closed: true };

function reduce(run: Run | undefined, change: Change): Run | undefined {
  if ('closed' in change) return undefined;
  if ('opened' in change) return change.opened;
  return run?.id === change.id ? change.apply(run) : run;
}

/** A run, live: each event that the lab records is added as it comes. */
export function useRun(id: string | undefined, onError: (error: Error) => void): Run | undefined {
  const [run, change] = useReducer(reduce, undefined);
  useEffect(() => {
    if (id === undefined) return change({ closed: true });
    let stop = () => {};
    let isOver = false;
    const apply = (edit: (run: Run) => Run) => change({ id, apply: edit });
    ask<Run>(`/api/runs/${id}`)
      .then((opened) => {
        if (isOver) return;
        if (opened.state !== 'running') return change({ opened });
        // The stream begins at its beginning.
        change({ opened: { ...opened, events: [], knowledge: [], rows: [] } });
        stop = follow(`/api/runs/${id}/events`, {
          event: (event) => apply((old) => ({ ...old, events: [...old.events, event] })),
          source: ({ seq, source }) =>
            apply((old) => ({
              ...old,
              events: old.events.map((event) =>
                event.seq === seq ? { ...event, detail: { ...event.detail, source } } : event,
              ),
            })),
          rows: (rows) => apply((old) => ({ ...old, rows: [...old.rows, rows] })),
          knows: (knows) => apply((old) => ({ ...old, knowledge: [...old.knowledge, knows] })),
          verdict: (verdict) => apply((old) => ({ ...old, verdict })),
          end: ({ state }) => apply((old) => ({ ...old, state })),
        });
      })
      .catch(onError);
    return () => {
      isOver = true;
      stop();
    };
  }, [id]);
  return run;
}
