import { useState } from 'preact/hooks';
import type { Track, Verdict } from '../run.js';
import { ask, follow, LabError } from './api.js';
import { NumberField } from './number-field.js';
import { Legend, Timeline, type Point } from './storm-timeline.js';

/** With more, each purchase would be as small as a pixel. */
const MAX_PURCHASES = 200;

/** Purchases, kills and losses that a seed determines, and two counters. */
export function Storm({
  onOpen,
  onError,
}: {
  onOpen: (run: string) => void;
  onError: (error: Error) => void;
}) {
  const [seed, setSeed] = useState(() => Math.floor(Math.random() * 10_000));
  const [purchases, setPurchases] = useState(40);
  const [points, setPoints] = useState<Point[]>([]);
  const [paid, setPaid] = useState({ keyed: 0, naive: 0 });
  const [verdict, setVerdict] = useState<Verdict | undefined>();
  const [id, setId] = useState<string | undefined>();
  const asked = new Set(points.map(({ purchase }) => purchase)).size;
  const run = async () => {
    setPoints([]);
    setPaid({ keyed: 0, naive: 0 });
    setVerdict(undefined);
    try {
      const started = await ask<{ id: string }>('/api/storm', { seed, purchases });
      setId(started.id);
      follow(
        `/api/runs/${started.id}/events`,
        {
          storm: ({ ours, naive, ...tick }) => {
            setPoints((before) => [...before, tick]);
            setPaid({ keyed: ours, naive });
          },
          verdict: (said) => {
            const { keyed = 0, naive = 0 } = said.payments;
            setPaid({ keyed, naive });
            setVerdict(said);
          },
          end: ({ error }) => {
            setId(undefined);
            if (error) onError(new LabError(`The storm has failed: ${error}.`));
          },
        },
        (connection) => {
          if (connection !== 'gone') return;
          setId(undefined);
          onError(new LabError('The lab was restarted, and the storm has ended. Begin it again.'));
        },
      );
    } catch (error) {
      onError(error as Error);
    }
  };
  return (
    <section class="storm" aria-labelledby="storm-title">
      <h2 id="storm-title">Storm</h2>
      <p>
        Many clients buy at once. Messages are lost and the API is killed, by the seed. Each client
        repeats its request until it has an answer.
      </p>
      <p class="storm-tools">
        <NumberField
          {...{ label: 'seed', name: 'seed', value: seed, min: 0, max: 1_000_000 }}
          onChange={setSeed}
        />
        <NumberField
          {...{ label: 'purchases', name: 'purchases', value: purchases, min: 1 }}
          max={MAX_PURCHASES}
          onChange={setPurchases}
        />
        {id ? (
          <button type="button" onClick={() => void ask(`/api/runs/${id}/stop`, {}).catch(onError)}>
            Stop
          </button>
        ) : (
          <button type="button" class="go" onClick={() => void run()}>
            Begin
          </button>
        )}
      </p>
      <div class="lanes">
        <Counter title="Without a key" payments={paid.naive} purchases={asked} />
        <Counter title="With the key" payments={paid.keyed} purchases={asked} />
      </div>
      <p class="sentence" role="status">
        {verdict?.sentence ?? (id ? 'Buying …' : '')}
      </p>
      {verdict?.example && <Example run={verdict.example} {...{ verdict, onOpen }} />}
      {points.length > 0 && <Legend />}
      {TRACKS.filter(() => points.length > 0).map((track) => (
        <div
          key={track}
          class="scroll"
          tabIndex={0}
          role="group"
          aria-label={`Timeline ${track === 'keyed' ? 'with the key' : 'without a key'}`}
        >
          <Timeline track={track} points={points.filter((point) => point.track === track)} />
        </div>
      ))}
    </section>
  );
}

const TRACKS: readonly Track[] = ['naive', 'keyed'];

/** The purchase of the storm with the worst result, to be opened as a diagram. */
function Example({
  run,
  verdict,
  onOpen,
}: {
  run: string;
  verdict: Verdict;
  onOpen: (run: string) => void;
}) {
  return (
    <p class="example">
      <button type="button" onClick={() => onOpen(run)}>
        {verdict.holds ? 'Open one double charge as a diagram' : 'Open what went wrong'}
      </button>
    </p>
  );
}

function Counter({
  title,
  payments,
  purchases,
}: {
  title: string;
  payments: number;
  purchases: number;
}) {
  const extra = payments - purchases;
  const tone = extra > 0 ? 'bad' : payments > 0 ? 'good' : '';
  return (
    <div class={`lane ${tone}`}>
      <h3>{title}</h3>
      <p class="count">
        <b>{payments}</b> payments
      </p>
      <p>
        for {purchases} purchases{extra > 0 ? `: ${extra} too many` : ''}
      </p>
    </div>
  );
}
