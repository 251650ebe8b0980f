import { beforeEach, describe, expect, test } from '@jest/globals';
import { Shares } from '../../../src/http/shares.js';

const SLOTS = 40;
let shares: Shares;
beforeEach(() => {
  shares = new Shares(SLOTS);
});

/** Takes all slots of this endpoint, as a server that never answers does. @returns how many. */
function fill(account: string, endpoint: string): number {
  for (let taken = 0; ; taken++) if (!shares.take([account, endpoint])) return taken;
}

test('one endpoint alone gets a quarter', () => {
  expect(fill('acct_a', 'we_1')).toBe(SLOTS / 4);
});

test('hanging endpoints leave slots for another one', () => {
  for (let i = 0; i < 4; i++) fill('acct_a', `we_${i}`);
  expect(fill('acct_a', 'we_quick')).toBeGreaterThan(0);
  expect(fill('acct_b', 'we_other')).toBeGreaterThan(3);
});

test('however many endpoints of one account hang, another account has slots', () => {
  for (let i = 0; i < 100; i++) fill('acct_a', `we_${i}`);
  expect(fill('acct_b', 'we_quick')).toBeGreaterThan(3);
});

test('all endpoints of one account together get at most half', () => {
  let taken = 0;
  for (let i = 0; i < 100; i++) taken += fill('acct_a', `we_${i}`);
  expect(taken).toBe(SLOTS / 2);
});

test('a released slot is available again, once', () => {
  const slots = Array.from({ length: SLOTS / 4 }, () => shares.take(['acct_a', 'we_1']));
  expect(shares.take(['acct_a', 'we_1'])).toBeUndefined();
  slots[0]!();
  slots[0]!();
  expect(fill('acct_a', 'we_1')).toBe(1);
  slots.slice(1).forEach((leave) => leave!());
});

test('without other users, all slots are available', () => {
  for (let i = 0; i < SLOTS; i++) expect(shares.take([])).toBeDefined();
  expect(shares.take([])).toBeUndefined();
});

describe('the full one', () => {
  test('is the endpoint, as long as its account has slots for others', () => {
    expect(shares.full()).toEqual([]);
    fill('acct_a', 'we_1');
    shares.take(['acct_a', 'we_2']);
    expect(shares.full()).toEqual(['we_1']);
  });

  test('is the account, when it has half', () => {
    for (let i = 0; i < 100; i++) fill('acct_a', `we_${i}`);
    expect(shares.full()).toEqual(['acct_a']);
  });
});
