import type { Prediction, Run, Scenario, Track, Verdict } from '../run.js';
import { TRACK_TITLES } from '../words.js';

export const PREDICTIONS: readonly [Prediction, string][] = [
  ['0', '0 payments'],
  ['1', '1 payment'],
  ['2', '2 payments'],
  ['unknown', 'it cannot be known'],
];

export interface WhyProps {
  scenario: Scenario;
  run: Run;
  verdict: Verdict;
  guess: Prediction | undefined;
  /** Whether the page already shows the sentence elsewhere. */
  isSaid: boolean;
}

/** What happened, and why. */
export function Why({ scenario, run, verdict, guess, isSaid }: WhyProps) {
  const { payments, answers, holds, sentence } = verdict;
  // Compared with this run: with other parameters than the initial ones, the answer may differ.
  const isRight = guess === String(payments.keyed ?? 0);
  const text = PREDICTIONS.find(([each]) => each === String(payments.keyed))?.[1];
  const isGood = holds && (payments.keyed ?? 0) < 2;
  return (
    <div class="why" role="status" aria-label={`What happened: ${run.title}`}>
      {!isSaid && <p class={`verdict ${isGood ? 'good' : 'bad'}`}>{sentence}</p>}
      {guess && (
        <p>
          <b>{isRight ? 'You were right.' : `It is ${text ?? payments.keyed}.`}</b>
        </p>
      )}
      {scenario.explanation.map((each) => (
        <p key={each}>
          <WithCode text={each} />
        </p>
      ))}
      {answers && <Histogram answers={answers} payments={payments} />}
    </div>
  );
}

/** Shows what is between backticks as code. */
function WithCode({ text }: { text: string }) {
  return (
    <>{text.split('`').map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</>
  );
}

type HistogramProps = Required<Pick<Verdict, 'answers' | 'payments'>>;

/** How many of many requests got which answer, and what the customer paid. */
function Histogram({ answers, payments }: HistogramProps) {
  const most = Math.max(1, ...Object.values(answers).flatMap((counts) => Object.values(counts)));
  return (
    <div class="histogram">
      {(Object.entries(answers) as [Track, Record<string, number>][]).map(([track, counts]) => (
        <section key={track} aria-label={`Answers ${TRACK_TITLES[track]}`}>
          <h3>{TRACK_TITLES[track]}</h3>
          <dl>
            {Object.entries(counts).map(([answer, count]) => (
              <div key={answer}>
                <dt>{answer}</dt>
                <dd>
                  <svg width={`${(count / most) * 75}%`} height="16" aria-hidden="true">
                    <rect width="100%" height="16" rx="3" />
                  </svg>
                  <span>{count}</span>
                </dd>
              </div>
            ))}
          </dl>
          <p>
            Payments in the processor’s ledger: <b>{payments[track] ?? 0}</b>
          </p>
        </section>
      ))}
    </div>
  );
}
