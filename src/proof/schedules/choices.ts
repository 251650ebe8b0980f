import type { Actor } from './actors.js';
import type { Run } from './run.js';

/** One must suffice. The second shows whether a failed recovery left the record recoverable. */
const MAX_RECOVERIES = 2;

/** What the controller knows in addition to the run. */
export interface Possible {
  /** The scenario's events that may still happen. */
  events: ReadonlySet<string>;
  /** The actor that runs alone, after a crash or at the end. */
  alone: Actor | undefined;
  /**
   * The last choice was the end of a lease or the expiry of an answer. It affects only a statement that reads the
   * clock, so only such a statement comes next. Without one, the schedule is redundant.
   */
  clockMoved: boolean;
}

/**
 * Everything that may happen next: the number of an actor whose statement is released, `x` and the number of an actor
 * that crashes, or an event. Empty: the schedule has ended.
 */
export function choicesOf(run: Run, { events, alone, clockMoved }: Possible): string[] {
  const { actors } = run;
  if (alone?.gate.status === 'ready') return [`${actors.indexOf(alone)}`];
  const { record } = run.observations.at(-1)!;
  const held = record?.state === 'in_progress' && !record.free;
  // A poll that finds the record still held changes nothing.
  const enabled = actors.filter(({ gate }) => gate.status === 'ready' && !(gate.polls && held));
  if (clockMoved)
    return enabled.flatMap((actor) => (actor.gate.readsClock ? [`${actors.indexOf(actor)}`] : []));
  if (enabled.length === 0) return recoveriesOf(run);
  return [
    ...enabled.map((actor) => `${actors.indexOf(actor)}`),
    ...(events.has('lease') && held ? ['lease'] : []),
    ...(events.has('expiry') && record?.state === 'completed' ? ['expiry'] : []),
    ...(events.has('crash') ? crashesOf(run) : []),
  ];
}

/** If all live actors wait, time passes. Then another process continues what a crash left. */
function recoveriesOf({ actors, observations, scenario }: Run): string[] {
  const { record } = observations.at(-1)!;
  const tries = actors.length - scenario.actors.length;
  if (record?.state !== 'in_progress' || tries === MAX_RECOVERIES) return [];
  const waits = actors.some(({ gate }) => gate.status === 'ready');
  if (waits) return record.free ? [] : ['lease'];
  return actors.some(({ gate }) => gate.status === 'running') ? [] : ['sweep', 'retry'];
}

/**
 * Inside a transaction, or while blocked, an actor may crash at any step: a crash frees locks that others wait for.
 * Elsewhere a crash affects no other actor. One for each statement is enough, directly after the actor's last step.
 */
function crashesOf({ actors, choices }: Run): string[] {
  return actors.flatMap(({ gate }, index) => {
    const isAlive = gate.status === 'ready' || gate.blocked;
    const isFresh = choices.length === 0 || choices.at(-1) === `${index}`;
    return isAlive && (isFresh || gate.inTransaction || gate.blocked) ? [`x${index}`] : [];
  });
}
