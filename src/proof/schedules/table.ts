import type { Run } from './run.js';

/** A schedule to read and to run again. */
export function tableOf({ scenario, choices, steps }: Run, broken: readonly string[]): string {
  const width = Math.max(...steps.map(({ actor }) => actor.length));
  const rows = steps.map(({ actor, what, result }, index) =>
    [`${index + 1}`.padStart(4), actor.padEnd(width), what.padEnd(60), result].join('  ').trimEnd(),
  );
  return [
    `${scenario.name}: ${broken.join('; ') || 'no violation'}`,
    ...rows,
    `npm run proof -- --schedules --only ${scenario.name}:${choices.join()}`,
  ].join('\n');
}
