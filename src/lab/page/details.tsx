import { useState } from 'preact/hooks';
import type { RunEvent } from '../run.js';
import { Icon } from './icon.js';
import { pointText } from './points.js';

export interface DetailsProps {
  event: RunEvent;
  /** Plays the story again, with this fault at the first attempt. */
  onBreak: (fault: string) => void;
  onClose: () => void;
}

/** What one selected event sent or executed, and the faults that can be set there. */
export function Details({ event, onBreak, onClose }: DetailsProps) {
  const { detail = {}, text, atMs, attempt, pid } = event;
  const { bytes, sql, parameters = [], source, curl } = detail;
  const faults = [...(detail.faults ?? []), ...(event.kind === 'request' ? OF_A_REQUEST : [])];
  const detailText = bytes?.replaceAll('\r', '');
  const facts = [
    `${(atMs / 1000).toFixed(3)} s`,
    attempt && `attempt ${attempt}`,
    pid && `process ${pid}`,
    source && `${source.file}:${source.line}`,
  ];
  return (
    <section class="details" aria-label="Details of the selected event">
      <header>
        <h3>{text}</h3>
        <button type="button" class="plain" onClick={onClose} aria-label="Close details">
          <Icon name="close" />
        </button>
      </header>
      <p class="facts">{facts.filter(Boolean).join(' · ')}</p>
      {faults.length > 0 && <Breaks {...{ faults, onBreak }} />}
      {sql && <pre tabIndex={0}>{sql}</pre>}
      {parameters.length > 0 && (
        <ol class="parameters">
          {parameters.map((value, i) => (
            <li key={i}>
              <code>${i + 1}</code> {value}
            </li>
          ))}
        </ol>
      )}
      {detailText && <pre tabIndex={0}>{detailText}</pre>}
      {curl && <Copy text={curl} label="Copy as curl" />}
    </section>
  );
}

/** Copies a string. Browsers refuse that on some addresses: then shows the string instead. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [result, setResult] = useState<'copied' | 'refused' | undefined>();
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setResult('copied');
    setTimeout(() => setResult(undefined), 1_500);
  };
  return (
    <>
      <button type="button" onClick={() => void copy().catch(() => setResult('refused'))}>
        {result === 'copied' ? 'Copied' : label}
      </button>
      {result === 'refused' && (
        <>
          <p role="status">This browser does not copy from this address. Select the text:</p>
          <pre tabIndex={0}>{text}</pre>
        </>
      )}
    </>
  );
}

/** What a client can do wrong with a request, besides losing it. */
const OF_A_REQUEST = ['send-twice', 'late'];

/** The faults that can be set here, grouped by point. */
function Breaks({ faults, onBreak }: { faults: string[]; onBreak: (fault: string) => void }) {
  const points = [...new Set(faults.map((fault) => partsOf(fault).point))];
  return (
    <fieldset>
      <legend>Break it here, and run again</legend>
      {points.map((point) => (
        <p key={point}>
          {point && <span>{pointText(point)} </span>}
          {faults
            .filter((fault) => partsOf(fault).point === point)
            .map((fault) => (
              <button
                type="button"
                key={fault}
                aria-label={point ? `${partsOf(fault).does} at ${point}` : undefined}
                onClick={() => onBreak(fault)}
              >
                {partsOf(fault).does}
              </button>
            ))}
        </p>
      ))}
    </fieldset>
  );
}

const WORDS: Record<string, string> = {
  crash: 'Kill it',
  freeze: 'Freeze it for 15 s',
  delay: 'Delay it by 3 s',
  'lose-request': 'Lose the request',
  'lose-response': 'Lose the response',
  'send-twice': 'Send it twice',
  late: 'Retry after 7 days',
};

/** Splits `crash-after-reserve` into words for people and the point. */
function partsOf(fault: string): { does: string; point: string } {
  const [, does = fault, point = ''] = /^(crash|freeze|delay)-(.+)$/.exec(fault) ?? [];
  return { does: WORDS[does] ?? does.replaceAll('-', ' '), point };
}
