import type { Exchange } from '../check/exchange.js';

/** curl sends its own values, or needs none. */
const OF_CURL = ['User-Agent', 'Accept', 'Accept-Encoding'];

/** The request as a shell command. Masked headers become variables, which the reader sets. */
export function curlOf(url: string, exchange: Exchange): string {
  const { method, path, headers, body } = exchange;
  const parts = [`curl -sS -i -X ${method} ${quoted(url.replace(/\/$/, '') + path)}`];
  for (const [name, value] of headers) {
    if (OF_CURL.includes(name)) continue;
    parts.push(
      value === '•••' ? `-H "${name}: $${variableOf(name)}"` : `-H ${quoted(header(name, value))}`,
    );
  }
  if (body !== undefined) parts.push(`--data-binary ${quoted(body)}`);
  return parts.join(' \\\n  ');
}

/** The environment variable that replaces a masked header. */
export function variableOf(name: string): string {
  return name.toUpperCase().replaceAll(/\W/g, '_');
}

/** curl drops `Name:`; with a semicolon it sends the header empty. */
function header(name: string, value: string): string {
  return value.trim() === '' ? `${name};` : `${name}: ${value}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
