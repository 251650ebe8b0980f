import { markerOf, type Journals } from '../../../src/proof/history.js';

/** So many requests no story has. */
const FIRST = 1_000;

/** A history that is about something else leaves out the requests that made its charges: they are added without an end. */
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
