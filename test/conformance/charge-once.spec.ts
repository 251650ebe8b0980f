import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startService, type Service } from '../support/service.js';
import { broken, check } from './conformance.support.js';

// The shipped profiles, without the limits and pauses that another company's API needs.
const FAST = { limits: { requestsPerSecond: 100_000 }, timing: { laterSeconds: 0 } };

async function shipped(name: string): Promise<object> {
  const text = await readFile(`src/conformance/profiles/${name}.json`, 'utf8');
  return { ...(JSON.parse(text) as object), ...FAST };
}

const only = (...groups: string[]) => groups.flatMap((group) => ['--only', group]);

let service: Service;
beforeAll(async () => {
  service = await startService({ slowMs: 3_000 });
});
afterAll(() => service.stop());

describe('the conformance check', () => {
  it('finds nothing at POST /charges', async () => {
    const checked = await check(await shipped('charge-once'), service.apiUrl);
    expect({ exitCode: checked.exitCode, broken: broken(checked) }).toEqual({
      exitCode: 0,
      broken: [],
    });
    expect(checked.report?.cases.length).toBeGreaterThan(100);
  });

  it('finds nothing at POST /orders', async () => {
    const profile = await shipped('charge-once-orders');
    const checked = await check(profile, service.apiUrl, ...only('replay', 'fingerprint', 'loss'));
    expect({ exitCode: checked.exitCode, broken: broken(checked) }).toEqual({
      exitCode: 0,
      broken: [],
    });
  });

  it('reports how many objects a retry creates on the naive lane after a lost answer', async () => {
    const profile = await shipped('charge-once-naive');
    const checked = await check(profile, service.apiUrl, ...only('replay', 'fingerprint', 'loss'));
    expect(checked.exitCode).toBe(1);
    expect(broken(checked)).toEqual(
      expect.arrayContaining([
        ...['replay.one-object', 'replay.later', 'replay.ten-times', 'replay.chunked'],
        ...['fingerprint.value', 'loss.in-answer', 'loss.lost-by-server'],
      ]),
    );
    const lost = checked.report?.cases.find(({ id }) => id === 'loss.lost-by-server-thrice');
    expect(lost).toMatchObject({ verdict: 'fail', detail: '4 objects were made, not 1' });
    const passed = checked.report?.cases.filter(({ verdict }) => verdict === 'pass');
    expect(passed?.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['fingerprint.new-key', 'loss.half-body', 'loss.declined']),
    );
  });
});
