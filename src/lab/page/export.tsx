import { renderToString } from 'preact-render-to-string';
import type { Run } from '../run.js';
import { trackTitle, tracksOf } from '../words.js';
import { Diagram } from './diagram.js';
import { layOut } from './diagram-layout.js';
import { sentenceOf } from './transcript.js';

// A run as a picture and as a page that open without the lab. Bundled for Node; the program imports it.

const GAP = 40;
/** The width of a character in the sentence below the pictures. */
const SENTENCE_CHARACTER = 9.7;
/** Characters that XML 1.0 (section 2.2) forbids. An SVG that contains one is not well-formed. */
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;

/** Both tracks side by side, with the sentence below. @param css the page's styles: a picture has no others. */
export function svgOf(run: Run, css: string): string {
  const tracks = tracksOf(run);
  const sizes = tracks.map((track) => layOut(run, track, { isDetailed: false }));
  const sentence = run.verdict?.sentence ?? '';
  const drawn = sizes.reduce((sum, size) => sum + size.width + GAP, 0);
  const width = Math.max(drawn, sentence.length * SENTENCE_CHARACTER + GAP);
  const height = Math.max(...sizes.map((size) => size.height), 0) + 80;
  let x = 0;
  const parts = tracks.map((track, i) => {
    const at = x;
    x += (sizes[i]?.width ?? 0) + GAP;
    return (
      <g transform={`translate(${at} 36)`}>
        <text class="track-title" x={20} y={-12}>
          {trackTitle(run, track)}
        </text>
        <Diagram run={run} track={track} isDetailed={false} />
      </g>
    );
  });
  const picture = renderToString(
    <svg
      xmlns="http://www.w3.org/2000/svg"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
    >
      <style>{css}</style>
      <rect class="paper" width={width} height={height} />
      {parts}
      <text class="sentence-text" x={20} y={height - 16}>
        {sentence}
      </text>
    </svg>,
  );
  return picture.replaceAll(NOT_XML, '\uFFFD');
}

/** One file: the picture, the sentence and the transcript. */
export function htmlOf(run: Run, css: string): string {
  const body = renderToString(
    <main>
      <h1>{run.title}</h1>
      <p class="sentence">{run.verdict?.sentence}</p>
      {tracksOf(run).map((track) => (
        <section class="track">
          <h2>{trackTitle(run, track)}</h2>
          <div class="scroll">
            <Diagram run={run} track={track} isDetailed={false} />
          </div>
        </section>
      ))}
      <h2>Transcript</h2>
      <ol class="transcript">
        {run.events.map((event) => (
          <li>{sentenceOf(event)}</li>
        ))}
      </ol>
    </main>,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>charge-once: ${escape(run.title)}</title><style>${css}</style></head><body>${body}</body></html>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
