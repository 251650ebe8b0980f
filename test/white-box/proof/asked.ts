import { markerOf, type Journals } from '../../../src/proof/history.js';

/** Larger than the number of requests of any story. */
const FIRST = 1_000;

/** Adds the requests that made the charges, without an end: a history about something else leaves them out. */
export function asked(journals: Journals): Journals {
  const { history, rows, ledger } = journals;
  const known = new Set(
    history.flatMap((line) => (line.what === 'invoke' ? markerOf(line.account, line.key) : [])),
  );
  const made = new Set([...rows.charges, ...ledger.payments].map(({ marker }) => marker));
  const sent = { what: 'invoke' as const, at: 0, operation: 'POST /charges', body: 'A' };
  const left = [...made].filter((marker) => !known.has(marker));
  const requests = left.map((marker, i) => {
    const [account = '', key = ''] = marker.split('/');
    return { ...sent, n: FIRST + i, account, key };
  });
  return { ...journals, history: [...requests, ...history] };
}
