import type { Run, Track } from '../run.js';
import { Icon } from './icon.js';
import { money } from '../words.js';

/** One button, two lanes, one sentence: what the whole project is about. */
export function Hero({
  run,
  isStarting,
  onRun,
}: {
  run: Run | undefined;
  isStarting: boolean;
  onRun: () => void;
}) {
  return (
    <section class="hero" aria-labelledby="hero-title">
      <h1 id="hero-title">The charge went through. The answer was lost. The client retries.</h1>
      <button type="button" class="go" onClick={onRun} disabled={isStarting}>
        {isStarting ? 'Running …' : run ? 'Run it again' : 'Run it'}
      </button>
      <div class="lanes">
        <Lane run={run} track="naive" title="Without a key" />
        <Lane run={run} track="keyed" title="With the key" />
      </div>
      <p class="sentence" role="status">
        {run?.verdict?.sentence ?? (run ? 'Request, commit, lost answer, retry …' : '')}
      </p>
    </section>
  );
}

/** The steps of the story. An audience must be able to follow it from these words alone. */
const STEPS: { text: string; isDone: (run: Run, track: Track) => boolean }[] = [
  { text: 'pay', isDone: (run, track) => attempts(run, track) >= 1 },
  { text: 'answer lost', isDone: (run, track) => of(run, track).some(({ lost }) => lost) },
  { text: 'retry', isDone: (run, track) => attempts(run, track) >= 2 },
];

function Lane({ run, track, title }: { run: Run | undefined; track: Track; title: string }) {
  const rows = run?.rows.findLast((each) => each.track === track);
  const payments = rows?.reconciled.payments ?? 0;
  const isWrong = payments > 1;
  return (
    <div class={`lane ${isWrong ? 'bad' : payments === 1 ? 'good' : ''}`}>
      <h2>{title}</h2>
      <ol>
        {STEPS.map(({ text, isDone }) => (
          <li key={text} class={run && isDone(run, track) ? 'done' : ''}>
            {run && isDone(run, track) && <Icon name="done" />} {text}
          </li>
        ))}
      </ol>
      <p class="count" aria-label={`${title}: the customer paid ${payments} times`}>
        <b>{payments}</b> × paid
      </p>
      <p class="money">{money(rows?.reconciled.paidMinor ?? 0)}</p>
    </div>
  );
}

const of = (run: Run, track: Track) => run.events.filter((event) => event.track === track);
const attempts = (run: Run, track: Track) =>
  of(run, track).filter(({ kind }) => kind === 'request').length;
