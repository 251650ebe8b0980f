import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApp, type TestApp } from '../support/app.js';
import { call, CHARGE, post, type Call } from '../support/client.js';
import { head, sendRaw } from '../support/raw-http.js';

const LIMIT_BYTES = 64 * 1024;

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

const send = (body: unknown, options: Call = {}) => post(app, '/charges', body, options);

/** A valid charge with one additional member, as JSON text. */
const withMember = (member: string) => JSON.stringify(CHARGE).replace(/}$/, `,${member}}`);

/** A valid charge, padded with white space. */
const padded = (bytes: number) => JSON.stringify(CHARGE).padEnd(bytes);

function headers(more: Record<string, string> = {}): Record<string, string> {
  return {
    Authorization: `Bearer ${app.acme.apiKey}`,
    'Idempotency-Key': `raw-${Math.random()}`,
    'Content-Type': 'application/json',
    ...more,
  };
}

const raw = (body: Buffer | string, more: Record<string, string> = {}) =>
  sendRaw(
    app.port,
    head('POST /charges', headers({ 'Content-Length': String(Buffer.byteLength(body)), ...more })),
    body,
  );

describe('the content type', () => {
  it.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json;charset=utf-8',
    'application/json; charset="UTF-8"',
    'application/json; profile="a;b"; charset=utf8',
  ])('%s is accepted', async (type) => {
    expect(await send(CHARGE, { headers: { 'content-type': type } })).toMatchObject({
      status: 201,
    });
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/problem+json',
    'application/jsonp',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'json',
  ])('%s is 415', async (type) => {
    const reply = await send(JSON.stringify(CHARGE), { headers: { 'content-type': type } });
    expect(reply).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type', retry: 'after_fix' },
    });
  });

  it('that is missing is 415, with and without a body', async () => {
    const some = { ...headers() };
    delete some['Content-Type'];
    const body = JSON.stringify(CHARGE);
    const length = String(body.length);
    const line = 'POST /charges';
    for (const answer of [
      await sendRaw(app.port, head(line, { ...some, 'Content-Length': length }), body),
      await sendRaw(app.port, head(line, some)),
    ]) {
      expect(answer).toMatchObject({ status: 415 });
    }
  });

  it('with an unknown content encoding is 415', async () => {
    expect(await raw(JSON.stringify(CHARGE), { 'Content-Encoding': 'lzma' })).toMatchObject({
      status: 415,
    });
  });
});

describe('the size of a body', () => {
  it('may be 64 KiB, not a byte more', async () => {
    expect((await send(padded(LIMIT_BYTES))).status).toBe(201);
    expect(await send(padded(LIMIT_BYTES + 1))).toMatchObject({
      status: 413,
      body: { code: 'payload_too_large', retry: 'after_fix' },
    });
  });

  it('is also counted in chunks', async () => {
    const chunk = padded(LIMIT_BYTES);
    const start = head('POST /charges', headers({ 'Transfer-Encoding': 'chunked' }));
    const framed = `${LIMIT_BYTES.toString(16)}\r\n${chunk}\r\n`;
    expect((await sendRaw(app.port, start, framed, '0\r\n\r\n')).status).toBe(201);
    expect((await sendRaw(app.port, start, framed, '1\r\n \r\n0\r\n\r\n')).status).toBe(413);
  });

  it('counts the decompressed bytes', async () => {
    const gzip = { 'Content-Encoding': 'gzip' };
    expect((await raw(gzipSync(padded(LIMIT_BYTES)), gzip)).status).toBe(201);
    expect((await raw(gzipSync(padded(LIMIT_BYTES + 1)), gzip)).status).toBe(413);
    expect(await raw('not gzip at all', gzip)).toMatchObject({ status: 400 });
  });

  it('is checked before the type and the content', async () => {
    const reply = await send('x'.repeat(LIMIT_BYTES + 1), {
      headers: { 'content-type': 'text/plain' },
    });
    expect(reply.status).toBe(413);
  });
});

describe('malformed_json', () => {
  const deep = (levels: number) =>
    `{"metadata":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;

  it.each([
    ['bytes that are not UTF-8', Buffer.from('7b2261223a22ff227d', 'hex')],
    ['an overlong encoding', Buffer.from('7b2261223a22c080227d', 'hex')],
    ['a byte order mark', `\uFEFF${JSON.stringify(CHARGE)}`],
    ['a member twice', withMember('"amount":1')],
    ['a member twice, once escaped', withMember('"\\u0061mount":1')],
    ['a member twice in a nested object', withMember('"metadata":{"a":"1","a":"2"}')],
    ['__proto__', withMember('"__proto__":{}')],
    ['an escaped __proto__', withMember('"\\u005f_proto__":{}')],
    ['a nested __proto__', withMember('"metadata":{"__proto__":"x"}')],
    ['U+0000 in a value', withMember('"description":"a\\u0000b"')],
    ['U+0000 in a name', withMember('"metadata":{"a\\u0000":"b"}')],
    ['a lone high surrogate', withMember('"description":"\\ud83d"')],
    ['a lone low surrogate', withMember('"description":"\\ude00 x"')],
    ['a lone surrogate in a name', withMember('"metadata":{"\\ud83d":"b"}')],
    ['33 levels', deep(33)],
    ['200 000 levels', '['.repeat(60_000)],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['null', 'null'],
    ['a number', '1'],
    ['nothing', ''],
    ['white space', '   '],
    ['something after the object', `${JSON.stringify(CHARGE)}x`],
    ['two objects', '{} {}'],
    ['a comment', `/* a */${JSON.stringify(CHARGE)}`],
    ['a line comment', `${JSON.stringify(CHARGE)}// a`],
    ['a trailing comma', '{"amount":1,}'],
    ['NaN', '{"amount":NaN}'],
    ['Infinity', '{"amount":Infinity}'],
    ['a number beyond range', '{"amount":1e999}'],
    ['a negative number beyond range', '{"amount":-1e999}'],
    ['a leading zero', '{"amount":01}'],
    ['a plus sign', '{"amount":+1}'],
    ['single quotes', "{'amount':1}"],
    ['names without quotes', '{amount:1}'],
    ['a raw control character', '{"a":"\t\u0001"}'],
    ['a wrong escape', '{"a":"\\x41"}'],
    ['an object cut short', '{"amount":1'],
    ['a string cut short', '{"amount":"'],
  ])('is the answer to %s', async (_what, body) => {
    expect(await send(body, { key: null })).toMatchObject({
      status: 400,
      body: { code: 'malformed_json', retry: 'after_fix' },
    });
  });

  it('is not the answer to 32 levels or to a surrogate pair', async () => {
    expect((await send(deep(32))).body).toMatchObject({ code: 'validation_failed' });
    expect((await send(withMember('"description":"\\ud83d\\ude00"'))).body).toMatchObject({
      description: '😀',
    });
  });

  it('is the answer to an empty chunked body', async () => {
    const start = head('POST /charges', headers({ 'Transfer-Encoding': 'chunked' }));
    const answer = await sendRaw(app.port, start, '0\r\n\r\n');
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('malformed_json');
  });
});

describe('names that every JavaScript object has', () => {
  const NAMES = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'toJSON', 'prototype'];

  it.each(NAMES)('%s is an unknown member like any other', async (name) => {
    expect(await send(withMember(`"${name}":"x"`))).toMatchObject({
      status: 400,
      body: { code: 'validation_failed', errors: [{ pointer: `/${name}` }] },
    });
  });

  it('are kept as metadata', async () => {
    const metadata = Object.fromEntries(NAMES.map((name) => [name, `of ${name}`]));
    const made = await send({ ...CHARGE, metadata });
    expect(made).toMatchObject({ status: 201, body: { metadata } });
    expect((await call(app, `/charges/${made.body.id}`)).body.metadata).toEqual(metadata);
  });
});

describe('a client that disconnects in the middle of a body', () => {
  it('leaves the key unused and the server running', async () => {
    const some = headers({ 'Content-Length': '1000' });
    const socket = connect(app.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`${head('POST /charges', some)}${JSON.stringify(CHARGE)}`);
    socket.destroy();
    const key = String(some['Idempotency-Key']);
    expect((await call(app, `/idempotency-keys/${key}`)).status).toBe(404);
    expect((await send(CHARGE, { key })).headers.get('Idempotent-Replayed')).toBeNull();
    expect(app.logs.join('\n')).not.toContain('internal_error');
  });
});
