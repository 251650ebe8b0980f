import type { Rows, RowsTable, Run, Track } from '../run.js';
import { money, reconcileText } from '../words.js';

/** The tables as they were at a moment of the run. What has changed since the previous moment is marked. */
export function RowsPanel({ run, track, atMs }: { run: Run; track: Track; atMs: number }) {
  const snapshots = run.rows.filter((rows) => rows.track === track);
  const now = snapshots.findLast((rows) => rows.atMs <= atMs) ?? snapshots[0];
  if (!now) return run.state === 'running' ? <p class="quiet">No rows yet.</p> : null;
  const before = snapshots[snapshots.indexOf(now) - 1];
  return (
    <div class="rows">
      <ReconcileLine rows={now} isViolated={run.scenario === 'witness'} />
      {now.tables.map((table) => (
        <TableOf
          key={table.name}
          table={table}
          before={before?.tables.find(({ name }) => name === table.name)}
        />
      ))}
    </div>
  );
}

/** @param isViolated a checker found a violation: not green, even if there is one payment. */
function ReconcileLine({ rows, isViolated }: { rows: Rows; isViolated: boolean }) {
  const { payments, paidMinor } = rows.reconciled;
  const isWrong = isViolated || payments > 1;
  return (
    <p class={`reconcile ${isWrong ? 'bad' : 'good'}`}>
      {reconcileText(rows)} · paid <b>{money(paidMinor)}</b>
    </p>
  );
}

function TableOf({
  table: { name, columns, rows },
  before,
}: {
  table: RowsTable;
  before?: RowsTable;
}) {
  if (rows.length === 0)
    return (
      <p class="empty-table">
        <b>{name}</b> no row
      </p>
    );
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={`Table ${name}`}>
      <table>
        <caption>{name}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column.replaceAll('_', ' ')}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map((value, j) => (
                <td key={j}>
                  {before?.rows[i]?.[j] === value ? value : <mark>{value || '–'}</mark>}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
