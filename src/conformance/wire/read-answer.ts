// Reads responses as RFC 9112 defines them, and nothing else: a check must not guess where a response ends. Node's own
// client cannot do this. It writes the request itself, and it destroys a connection on which a second response follows
// (pipelining).
import { headerOf, NoAnswer, type Answer } from './answer.js';
import type { Incoming } from './incoming.js';

/** Node's server accepts 16 KB. */
const MAX_HEAD_KB = 64;
/** A chunk's size and its extensions. */
const MAX_CHUNK_LINE_KB = 4;

type Head = Pick<Answer, 'status' | 'headers'>;

/** The next final response; interim responses (1xx) before it are dropped. @throws NoAnswer */
export async function readAnswer(incoming: Incoming): Promise<Answer> {
  for (;;) {
    const status = await readStatus(incoming);
    const head = { status, headers: await readFields(incoming, 'head') };
    if (status === 101) throw new NoAnswer('the response switches protocols (101)');
    if (status < 200) continue;
    const text = (await readContent(incoming, head)).toString('utf8');
    return { ...head, text, body: parsedJson(text) };
  }
}

async function readStatus(incoming: Incoming): Promise<number> {
  const line = await headLine(incoming, MAX_HEAD_KB * 1024, 'head');
  const status = /^HTTP\/1\.[01] ([1-9]\d\d)(?: |$)/.exec(line)?.[1];
  if (status === undefined) throw new NoAnswer(`not an HTTP/1.1 response: ${shown(line)}`);
  return Number(status);
}

/** Header or trailer fields (§5), and the empty line after them. */
async function readFields(
  incoming: Incoming,
  place: 'head' | 'trailer section',
): Promise<Answer['headers']> {
  const fields: Answer['headers'] = [];
  for (let left = MAX_HEAD_KB * 1024; ;) {
    const line = await headLine(incoming, left, place);
    if (line === '') return fields;
    left -= line.length + 2;
    const [, name, value = ''] = /^([\w!#$%&'*+.^`|~-]+):([^\0\r]*)$/.exec(line) ?? [];
    const last = fields.at(-1);
    if (name !== undefined) fields.push([name.toLowerCase(), value.trim()]);
    else if (last && /^[ \t][^\0\r]*$/.test(line))
      last[1] += ` ${line.trim()}`; // folded (§5.2)
    else throw new NoAnswer(`the response has a broken header line ${shown(line)}`);
  }
}

function headLine(incoming: Incoming, left: number, place: string): Promise<string> {
  return incoming.line(left, `the ${place} of the response is larger than ${MAX_HEAD_KB} KB`);
}

/** How long the content is: §6.3. */
async function readContent(incoming: Incoming, head: Head): Promise<Buffer> {
  const coding = headerOf(head, 'content-encoding');
  if (coding !== undefined && coding.toLowerCase() !== 'identity')
    throw new NoAnswer(
      `the response is compressed (Content-Encoding ${shown(coding)}), although identity was asked for`,
    );
  const transfer = headerOf(head, 'transfer-encoding');
  const length = headerOf(head, 'content-length');
  if (head.status === 204 || head.status === 304) return Buffer.alloc(0);
  if (transfer !== undefined && length !== undefined)
    throw new NoAnswer('the response has both Content-Length and Transfer-Encoding');
  if (transfer !== undefined) return readChunks(incoming, transfer);
  return length === undefined ? incoming.untilClosed() : incoming.bytes(lengthOf(length));
}

/** The same number may be repeated (RFC 9110 §8.6). */
function lengthOf(value: string): number {
  const [length = '', ...others] = new Set(value.split(/[ \t]*,[ \t]*/));
  if (!/^\d+$/.test(length) || others.length > 0)
    throw new NoAnswer(`the response has the Content-Length ${shown(value)}`);
  return Number(length);
}

/** §7.1 */
async function readChunks(incoming: Incoming, coding: string): Promise<Buffer> {
  if (coding.toLowerCase() !== 'chunked')
    throw new NoAnswer(`the response has the Transfer-Encoding ${shown(coding)}`);
  const chunks: Buffer[] = [];
  for (;;) {
    const line = await incoming.line(
      MAX_CHUNK_LINE_KB * 1024,
      `a chunk line of the response is larger than ${MAX_CHUNK_LINE_KB} KB`,
    );
    const size = /^([\da-f]+)(?:[ \t]*;.*)?$/i.exec(line)?.[1];
    if (size === undefined) throw new NoAnswer(`the response has the chunk size ${shown(line)}`);
    const length = parseInt(size, 16);
    if (length === 0) break;
    chunks.push(await incoming.bytes(length));
    const end = await incoming.bytes(2);
    if (end.toString('latin1') !== '\r\n') throw new NoAnswer('a chunk is longer than its size');
  }
  await readFields(incoming, 'trailer section');
  return Buffer.concat(chunks);
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
