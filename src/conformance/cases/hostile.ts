/** Bodies that no API can accept as a purchase. */
export const HOSTILE_BODIES: [what: string, body: string | Buffer][] = [
  ['an array', '[]'],
  ['a number', '1'],
  ['null', 'null'],
  ['a text', '"text"'],
  ['no JSON', '<purchase/>'],
  ['two values', '{}{}'],
  ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
  ['2000 open brackets', '['.repeat(2000)],
  ['an object 2000 levels deep', `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`],
];

/** What an error must not show: stack traces, SQL, paths of the server. */
export const INTERNALS: [what: string, pattern: RegExp][] = [
  ['a stack trace', /\bat (?:async )?[\w.<>]+ \(|\.(?:js|ts|py|rb|java|go|php):\d+/],
  ['a Python trace', /Traceback \(most recent call last\)/],
  ['SQL', /\b(?:INSERT INTO|SELECT .+ FROM|UPDATE \w+ SET|duplicate key value|SQLSTATE)\b/i],
  ['a path of the server', /\/(?:node_modules|home|usr|var|srv|app)\/\w/],
  ['an exception', /\b(?:TypeError|NullPointerException|SyntaxError|Unhandled)\b/],
];
