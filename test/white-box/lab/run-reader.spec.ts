import { describe, expect, it } from '@jest/globals';
import { readRun } from '../../../src/lab/program/run-reader.js';

const event = {
  ...{ seq: 1, atMs: 0, track: 'keyed', kind: 'request', from: 'client', to: 'api', text: 'POST' },
};
const run = {
  ...{ id: 'x', scenario: 'witness', title: 'A run', parameters: { attempts: 2 } },
  ...{ startedAt: '2026-12-02T12:00:00Z', state: 'ended', knowledge: [], rows: [] },
  events: [event],
};

describe('a run file', () => {
  it('is a run as the lab exports it, or as the lab keeps it', () => {
    expect(readRun(run)).toEqual(run);
    expect(readRun({ visitor: 'someone', run, stream: [] })).toEqual(run);
  });

  it('brings no command to copy, no button and no unknown member', () => {
    const detail = { bytes: 'GET /', curl: 'rm -rf /', faults: ['late'], html: '<b>' };
    const { events } = readRun({ ...run, script: '1', events: [{ ...event, detail }] });
    expect(events).toEqual([{ ...event, detail: { bytes: 'GET /' } }]);
  });

  it.each<[string, unknown, string]>([
    ['a text', 'run', 'it is not an object'],
    ['a list', [], 'it is not an object'],
    ['another object', {}, 'id is not a text of at most 300 characters'],
    [
      'a long title',
      { ...run, title: 'x'.repeat(301) },
      'title is not a text of at most 300 characters',
    ],
    ['a run that goes on', { ...run, state: 'running' }, 'state is not one of ended, failed'],
    ['no events', { ...run, events: [] }, 'events is empty'],
    [
      'too many events',
      { ...run, events: Array(2_001).fill(event) },
      'events is not a list of at most 2000',
    ],
    [
      'an unknown actor',
      { ...run, events: [{ ...event, from: 'x' }] },
      'events[0].from is not one of client, api',
    ],
    [
      'a time that is no number',
      { ...run, events: [{ ...event, atMs: '0' }] },
      'events[0].atMs is not a number',
    ],
    [
      'a part of an attempt',
      { ...run, events: [{ ...event, attempt: 1.5 }] },
      'events[0].attempt is not an integer from 0 to 1000000000000',
    ],
    ['events out of order', { ...run, events: [event, event] }, 'events[1].seq is not 2'],
    ['a nested parameter', { ...run, parameters: { a: {} } }, 'parameters.a is not a number'],
    ['a verdict of another kind', { ...run, verdict: 'good' }, 'verdict is not an object'],
  ])('is refused: %s', (_, json, message) => {
    expect(() => readRun(json)).toThrow(message);
  });
});
