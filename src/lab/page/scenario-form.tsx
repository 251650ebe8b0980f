import { useState } from 'preact/hooks';
import type { Prediction, Run, Scenario, ScenarioParameter } from '../run.js';
import { NumberField } from './number-field.js';
import { pointText } from './points.js';
import { PREDICTIONS, Why } from './why.js';

export interface ScenarioFormProps {
  scenario: Scenario;
  /** The run of this scenario that is shown, if any. */
  run: Run | undefined;
  /** The parameters that the user changed. All others keep the scenario's values. */
  parameters: Run['parameters'];
  /** Whether the page already shows the verdict elsewhere. */
  isSaid: boolean;
  onParameters: (parameters: Run['parameters']) => void;
  onRun: () => void;
}

/** A story: predict first, run it, then read why. */
export function ScenarioForm(props: ScenarioFormProps) {
  const { scenario, run, parameters, isSaid, onParameters, onRun } = props;
  const [guess, setGuess] = useState<Prediction | undefined>();
  const predict = (prediction: Prediction | undefined) => {
    setGuess(prediction);
    onRun();
  };
  return (
    <section class="scenario" aria-labelledby="story">
      <div>
        <h2 id="story">{scenario.title}</h2>
        <p>{scenario.story}</p>
        {scenario.parameters.length > 0 && (
          <div class="parameters-form">
            {scenario.parameters.map((parameter) => (
              <Parameter
                key={parameter.name}
                parameter={parameter}
                value={parameters[parameter.name] ?? parameter.initial}
                onChange={(value) => onParameters({ ...parameters, [parameter.name]: value })}
              />
            ))}
          </div>
        )}
        <fieldset class="predict">
          <legend>Predict first: {scenario.question}</legend>
          {PREDICTIONS.map(([prediction, text]) => (
            <button
              type="button"
              key={prediction}
              aria-pressed={guess === prediction}
              onClick={() => predict(prediction)}
            >
              {text}
            </button>
          ))}
          <button type="button" class="plain" onClick={() => predict(undefined)}>
            Skip, just run it
          </button>
        </fieldset>
      </div>
      {run?.verdict && run.state !== 'running' && (
        <Why {...{ scenario, run, guess, isSaid }} verdict={run.verdict} />
      )}
    </section>
  );
}

interface ParameterProps {
  parameter: ScenarioParameter;
  value: string | number;
  onChange: (value: string | number) => void;
}

function Parameter({ parameter, value, onChange }: ParameterProps) {
  const { name, label, options, min, max } = parameter;
  if (!options)
    return <NumberField {...{ label, name, min, max, onChange }} value={Number(value)} />;
  return (
    <label>
      {label}{' '}
      <select name={name} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option} value={option}>
            {pointText(option)}
          </option>
        ))}
      </select>
    </label>
  );
}
