import { useState } from 'preact/hooks';
import type { RunEvent } from '../run.js';
import { Icon } from './icon.js';

export interface DetailsProps {
  event: RunEvent;
  /** Plays the story again, with this fault at the first attempt. */
  onBreak: (fault: string) => void;
  onClose: () => void;
}

/** What crossed the wire, or what was asked of the database, and where to break it. */
export function Details({ event, onBreak, onClose }: DetailsProps) {
  const { detail = {}, text, atMs, attempt, pid } = event;
  const { bytes, sql, parameters = [], source, curl } = detail;
  const faults = [...(detail.faults ?? []), ...(event.kind === 'request' ? OF_A_REQUEST : [])];
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
      {bytes && <pre tabIndex={0}>{bytes}</pre>}
      {curl && <Copy text={curl} label="Copy as curl" />}
      {faults.length > 0 && (
        <fieldset>
          <legend>Break it here, and run again</legend>
          {faults.map((fault) => (
            <button type="button" key={fault} onClick={() => onBreak(fault)}>
              {nameOf(fault)}
            </button>
          ))}
        </fieldset>
      )}
    </section>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <button type="button" onClick={() => void copy().catch(() => undefined)}>
      {isCopied ? 'Copied' : label}
    </button>
  );
}

/** What a client can do wrong with a request, beside losing it. */
const OF_A_REQUEST = ['send-twice', 'late'];

/** `crash-after-reserve` for people. */
export function nameOf(fault: string): string {
  const [, does = '', point = ''] = /^(crash|freeze|delay)-(.+)$/.exec(fault) ?? [];
  const words: Record<string, string> = {
    crash: 'Kill here',
    freeze: 'Freeze for 15 s',
    delay: 'Delay 3 s',
  };
  if (words[does]) return `${words[does]} (${point.replaceAll('-', ' ')})`;
  if (fault === 'lose-request') return 'Lose the request';
  if (fault === 'lose-response') return 'Lose the response';
  if (fault === 'send-twice') return 'Send it twice';
  if (fault === 'late') return 'Retry after 7 days';
  return fault.replaceAll('-', ' ');
}
