import { useEffect, useRef, useState } from 'preact/hooks';
import type { Cell, DesignInfo } from '../run.js';
import { ask, follow, LabError, type Catalogue } from './api.js';
import { Icon } from './icon.js';

const SYMBOLS: Record<Cell['verdict'], string> = {
  'charged once': '1',
  'charged twice': '2',
  'never charged': '0',
  stuck: '∞',
  'wrong answer': '≠',
  refused: '–',
  'not run': '·',
};

export interface GalleryProps {
  catalogue: Catalogue;
  onOpen: (run: string) => void;
  onError: (error: Error) => void;
}

/** Every design against every fault, live, from the processor's ledger. */
export function Gallery({ catalogue: { designs, faults }, onOpen, onError }: GalleryProps) {
  const [cells, setCells] = useState<Cell[]>([]);
  const [isRunning, setRunning] = useState(false);
  const [shown, setShown] = useState<DesignInfo | undefined>();
  const run = async () => {
    setCells([]);
    setRunning(true);
    try {
      const { id } = await ask<{ id: string }>('/api/matrix', {});
      follow(
        `/api/matrix/${id}/events`,
        {
          cell: (cell) => setCells((before) => [...before, cell]),
          end: ({ error }) => fail(error && new LabError(`The matrix has failed: ${error}.`)),
        },
        (connection) => {
          if (connection === 'gone')
            fail(new LabError('The lab was restarted. Run the matrix again.'));
        },
      );
    } catch (error) {
      fail(error as Error);
    }
  };
  const fail = (error: Error | '' | undefined) => {
    setRunning(false);
    if (error) onError(error);
  };
  const cellOf = (design: string, fault: string) =>
    cells.find((cell) => cell.design === design && cell.fault === fault);
  return (
    <section class="gallery" aria-labelledby="gallery-title">
      <h2 id="gallery-title">The gallery of wrong designs</h2>
      <p>
        {designs.length} ways to write the same <code>POST</code>, each by a careful person. Every
        one meets the same faults, on real processes that are really killed. The verdicts come from
        the processor’s ledger.
      </p>
      <button type="button" class="go" disabled={isRunning} onClick={() => void run()}>
        {isRunning ? progressOf(cells.length, designs.length * faults.length) : 'Run them all'}
      </button>
      <div class="scroll" tabIndex={0} role="group" aria-label="Matrix of designs and faults">
        <table class="matrix">
          <thead>
            <tr>
              <th scope="col">design</th>
              {faults.map(({ id, title, story }) => (
                <th key={id} scope="col" title={story}>
                  <span>{title}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {designs.map((design) => (
              <tr key={design.id} class={design.isOurs ? 'ours' : ''}>
                <th scope="row">
                  <button type="button" class="plain" onClick={() => setShown(design)}>
                    {design.title}
                  </button>
                </th>
                {faults.map((fault) => (
                  <MatrixCell key={fault.id} cell={cellOf(design.id, fault.id)} onOpen={onOpen} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="legend">
        {Object.entries(SYMBOLS).map(([verdict, symbol]) => (
          <span key={verdict}>
            <b>{symbol}</b> {verdict}
          </span>
        ))}
        <span>A frame: not what a correct API does.</span>
      </p>
      {shown && (
        <DesignSource design={shown} onClose={() => setShown(undefined)} onError={onError} />
      )}
    </section>
  );
}

function progressOf(done: number, all: number): string {
  return done === 0 ? 'Starting the processes …' : `Running … ${done} of ${all}`;
}

function MatrixCell({ cell, onOpen }: { cell: Cell | undefined; onOpen: (run: string) => void }) {
  if (!cell) return <td class="waiting">·</td>;
  const { verdict, correct, because, run } = cell;
  return (
    <td class={correct ? 'good' : 'bad'}>
      <button
        type="button"
        class="plain"
        title={because}
        aria-label={`${verdict}${correct ? '' : ', wrong'}. ${because}`}
        onClick={() => run && onOpen(run)}
      >
        <b>{SYMBOLS[verdict]}</b>
        <small>{verdict}</small>
      </button>
    </td>
  );
}

interface SourceProps {
  design: DesignInfo;
  onClose: () => void;
  onError: (error: Error) => void;
}

function DesignSource({ design, onClose, onError }: SourceProps) {
  const [source, setSource] = useState<{ id: string; text: string } | undefined>();
  const drawn = useRef<HTMLElement>(null);
  useEffect(() => drawn.current?.scrollIntoView({ block: 'nearest' }), [source]);
  if (source?.id !== design.id) {
    ask<string>(`/api/designs/${design.id}/source`)
      .then((text) => setSource({ id: design.id, text }))
      .catch(onError);
  }
  return (
    <section ref={drawn} class="details" aria-label={`Source of ${design.title}`}>
      <header>
        <h3>{design.title}</h3>
        <button type="button" class="plain" onClick={onClose} aria-label="Close the source">
          <Icon name="close" />
        </button>
      </header>
      <p>“{design.idea}”</p>
      <p>
        <b>Seen as:</b> {design.incident}
      </p>
      <p class="facts">{design.file}</p>
      <pre tabIndex={0}>{source?.id === design.id ? source.text : '…'}</pre>
    </section>
  );
}
