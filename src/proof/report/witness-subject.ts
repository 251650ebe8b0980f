import { markerOf } from '../history.js';
import type { Attempt, Digest } from '../checker/digest.js';
import type { Violation } from '../checker/violation.js';

/** What a violation is about: the keys that it names, directly or by one of their objects. There may be none. */
export interface Subject {
  /** A description for people. */
  name: string;
  markers: string[];
  /** The requests of these keys, in the order of their invocation. */
  attempts: Attempt[];
  /** Ids of the keys' charges, refunds and orders. */
  objects: Set<string>;
  /** The words of the violation's sentence. Some of them are ids. */
  named: Set<string>;
}

const MAX_OF_NAME = 60;

export function subjectOf(known: Digest, { marker, says }: Violation): Subject {
  const { rows, ledger, keyOf } = known;
  const named = new Set(says.split(/[\s,:]+/));
  const objects = [...rows.charges, ...rows.refunds, ...rows.orders];
  const objectsNamed = new Set([
    ...named,
    ...rows.events.filter(({ id }) => named.has(id)).map(({ object }) => object),
  ]);
  const markers = new Set([
    ...(marker === undefined ? [] : [marker]),
    ...objects.filter(({ id }) => objectsNamed.has(id)).map((each) => each.marker),
    ...ledger.payments.filter(({ id }) => named.has(id)).map((each) => each.marker),
  ]);
  for (const { account, id, marker: order } of rows.orders) {
    if (!markers.has(order)) continue;
    const paying = rows.charges.filter((each) => each.account === account && each.order === id);
    for (const each of paying) markers.add(each.marker);
  }
  const keys = [...markers].flatMap((each) => keyOf.get(each) ?? []);
  const first = keys[0];
  const name = first
    ? `key ${first.key} of account ${first.account}`
    : ([...markers][0] ?? says.slice(0, MAX_OF_NAME));
  return {
    name: markers.size > 1 ? `${name}, and ${markers.size - 1} more` : name,
    markers: [...markers],
    attempts: keys.flatMap(({ attempts }) => attempts).sort((a, b) => a.invokedAt - b.invokedAt),
    objects: new Set(objects.filter((each) => markers.has(each.marker)).map(({ id }) => id)),
    named,
  };
}

export function recordsOf({ rows }: Digest, { markers }: Subject) {
  return rows.records.filter(({ account, key }) => markers.includes(markerOf(account, key)));
}
