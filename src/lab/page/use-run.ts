import { useEffect, useReducer } from 'preact/hooks';
import type { Run } from '../run.js';
import { ask, follow, LabError, type Connection, type Listeners } from './api.js';

/** How often the page draws what has arrived. Drawing 200 events one by one would block the page for seconds. */
const FRAME_MS = 40;

/** Changes a copy of the run. */
type Edit = (draft: Run) => void;
type Change = { id: string; edits: Edit[] } | { opened: Run } | { closed: true };

function reduce(run: Run | undefined, change: Change): Run | undefined {
  if ('closed' in change) return undefined;
  if ('opened' in change) return change.opened;
  if (run?.id !== change.id) return run;
  const { events, knowledge, rows } = run;
  const draft = { ...run, events: [...events], knowledge: [...knowledge], rows: [...rows] };
  for (const edit of change.edits) edit(draft);
  return draft;
}

const TROUBLES: Record<Connection, Error | undefined> = {
  open: undefined,
  waiting: new LabError('The connection to the lab is lost. The page connects again by itself …'),
  gone: new LabError('The lab was restarted, and this run has ended. Run it again.'),
};

/**
 * A run, live: each event that the lab records is added as it arrives.
 * @param onError gets undefined when an error is over.
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
    let edits: Edit[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = () => {
      change({ id, edits });
      edits = [];
      timer = undefined;
    };
    const apply = (edit: Edit) => {
      edits.push(edit);
      timer ??= setTimeout(draw, FRAME_MS);
    };
    const onConnection = (now: Connection) => {
      if (now !== 'open' || connection !== 'open') onError(TROUBLES[now]);
      if (now === 'gone') apply((draft) => (draft.state = 'failed'));
      connection = now;
    };
    ask<Run>(`/api/runs/${id}`)
      .then((opened) => {
        if (isOver) return;
        if (opened.state !== 'running') return change({ opened });
        // The stream repeats everything from the beginning.
        change({ opened: { ...opened, events: [], knowledge: [], rows: [] } });
        const listeners: Listeners = {
          event: (event) => apply(({ events }) => events.push(event)),
          detail: ({ seq, detail }) =>
            apply(({ events }) => {
              const event = events[seq - 1];
              if (event) events[seq - 1] = { ...event, detail: { ...event.detail, ...detail } };
            }),
          rows: (rows) => apply((draft) => draft.rows.push(rows)),
          knows: (knows) => apply(({ knowledge }) => knowledge.push(knows)),
          verdict: (verdict) => apply((draft) => (draft.verdict = verdict)),
          end: ({ state }) => apply((draft) => (draft.state = state)),
        };
        stop = follow(`/api/runs/${id}/events`, listeners, onConnection);
      })
      .catch(onError);
    return () => {
      isOver = true;
      clearTimeout(timer);
      stop();
    };
  }, [id]);
  return run;
}
