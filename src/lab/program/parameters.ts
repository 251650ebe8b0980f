import type { Run } from '../run.js';
import type { Play } from '../scenarios/scenario.js';

export class RefusedParameter extends Error {}

export function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
}

/** The visitor's choices, and the scenario's initial values for all others. @throws RefusedParameter */
export function parametersFor(play: Play, chosen: unknown): Run['parameters'] {
  if (typeof chosen !== 'object' || chosen === null)
    throw new RefusedParameter('parameters is an object');
  const given = new Map(Object.entries(chosen));
  const parameters: Run['parameters'] = {};
  for (const { name, options, min = 0, max = Infinity, initial } of play.parameters) {
    const value: unknown = given.has(name) ? given.get(name) : initial;
    given.delete(name);
    const isPlain = typeof value === 'string' || typeof value === 'number';
    const isFit = options
      ? isPlain && options.includes(String(value))
      : isPlain && value !== '' && isWhole(Number(value), min, max);
    if (!isFit)
      throw new RefusedParameter(
        `${name} is ${options ? `one of ${options.join(', ')}` : `a whole number from ${min} to ${max}`}`,
      );
    parameters[name] = options ? String(value) : Number(value);
  }
  const [unknown] = given.keys();
  if (unknown !== undefined) throw new RefusedParameter(`${play.id} has no parameter ${unknown}`);
  return parameters;
}
