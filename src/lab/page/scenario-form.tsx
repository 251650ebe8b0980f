import { useState } from 'preact/hooks';
import type { Prediction, Run, Scenario, ScenarioParameter } from '../run.js';

export interface ScenarioFormProps {
  scenario: Scenario;
  run: Run | undefined;
  onRun: (parameters: Record<string, string | number>) => void;
}

const ANSWERS: Record<Prediction, string> = {
  '0': '0 payments',
  '1': '1 payment',
  '2': '2 payments',
  unknown: 'it cannot be known',
};

/** A story: predict first, run it, then read why. */
export function ScenarioForm({ scenario, run, onRun }: ScenarioFormProps) {
  const [parameters, setParameters] = useState(() => initial(scenario));
  const [guess, setGuess] = useState<Prediction | undefined>();
  const predict = (prediction: Prediction | undefined) => {
    setGuess(prediction);
    onRun(parameters);
  };
  const isOver = run?.scenario === scenario.id && run.state !== 'running';
  return (
    <section class="scenario" aria-labelledby="story">
      <h2 id="story">{scenario.title}</h2>
      <p>{scenario.story}</p>
      {scenario.parameters.length > 0 && (
        <div class="parameters-form">
          {scenario.parameters.map((parameter) => (
            <Parameter
              key={parameter.name}
              parameter={parameter}
              value={parameters[parameter.name] ?? parameter.initial}
              onChange={(value) => setParameters({ ...parameters, [parameter.name]: value })}
            />
          ))}
        </div>
      )}
      <fieldset class="predict">
        <legend>Predict first: {scenario.question}</legend>
        {(Object.keys(ANSWERS) as Prediction[]).sort(byPlace).map((prediction) => (
          <button
            type="button"
            key={prediction}
            aria-pressed={guess === prediction}
            onClick={() => predict(prediction)}
          >
            {ANSWERS[prediction]}
          </button>
        ))}
        <button type="button" class="plain" onClick={() => predict(undefined)}>
          Skip, just run it
        </button>
      </fieldset>
      {isOver && run?.verdict && <Why scenario={scenario} run={run} guess={guess} />}
    </section>
  );
}

const PLACES: Prediction[] = ['0', '1', '2', 'unknown'];
const byPlace = (one: Prediction, other: Prediction) => PLACES.indexOf(one) - PLACES.indexOf(other);

function Why({
  scenario,
  run,
  guess,
}: {
  scenario: Scenario;
  run: Run;
  guess: Prediction | undefined;
}) {
  const isRight = guess === scenario.answer;
  return (
    <div class="why" role="status">
      <p class={`verdict ${run.verdict?.holds ? 'good' : 'bad'}`}>{run.verdict?.sentence}</p>
      {guess && (
        <p>
          <b>{isRight ? 'You were right.' : `It is ${ANSWERS[scenario.answer]}.`}</b>
        </p>
      )}
      {scenario.explanation.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      {run.verdict?.answers && <Histogram answers={run.verdict.answers} />}
    </div>
  );
}

/** How many of many requests got which answer. */
export function Histogram({
  answers,
}: {
  answers: NonNullable<NonNullable<Run['verdict']>['answers']>;
}) {
  return (
    <div class="histogram">
      {Object.entries(answers).map(([track, counts]) => {
        const most = Math.max(...Object.values(counts), 1);
        return (
          <dl key={track} aria-label={`Answers, ${track}`}>
            {Object.entries(counts).map(([answer, count]) => (
              <div key={answer}>
                <dt>{answer}</dt>
                <dd>
                  <svg width="100%" height="16" aria-hidden="true">
                    <rect width={`${(count / most) * 100}%`} height="16" rx="3" />
                  </svg>
                  <span>{count}</span>
                </dd>
              </div>
            ))}
          </dl>
        );
      })}
    </div>
  );
}

interface ParameterProps {
  parameter: ScenarioParameter;
  value: string | number;
  onChange: (value: string | number) => void;
}

function Parameter({
  parameter: { name, label, options, min, max },
  value,
  onChange,
}: ParameterProps) {
  return (
    <label>
      {label}{' '}
      {options ? (
        <select name={name} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {options.map((option) => (
            <option key={option}>{option}</option>
          ))}
        </select>
      ) : (
        <input
          {...{ name, min, max, value, type: 'number' }}
          onChange={(event) => onChange(Number(event.currentTarget.value))}
        />
      )}
    </label>
  );
}

function initial({ parameters }: Scenario): Record<string, string | number> {
  return Object.fromEntries(parameters.map(({ name, initial: value }) => [name, value]));
}
