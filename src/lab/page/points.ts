// What a probe point of the engine means, for people.

const MEANINGS: Readonly<Record<string, string>> = {
  received: 'the request has arrived',
  'before-reserve': 'nothing is written yet',
  'record-written': 'the record is written, not committed',
  'reserve-written': 'record and charge are written, not committed',
  'after-reserve': 'record and charge are committed',
  'before-perform': 'just before the call to the processor',
  'after-perform': 'the processor has charged',
  'settle-written': 'the result is written, not committed',
  'after-settle': 'the result is committed, not yet answered',
  released: 'the processor refused, and took nothing',
};

/** `after-perform: the processor has charged`. Other names as they are. */
export function pointText(name: string): string {
  const meaning = MEANINGS[name];
  return meaning ? `${name}: ${meaning}` : name;
}
