import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { refundAmount, type Refundable } from '../../../src/refunds/refund.arithmetic.js';

const MAX = 99_999_999;
const amounts = fc.integer({ min: 1, max: MAX });

/** Any valid charge: refunded and pending amounts are within its amount. */
const refundables: fc.Arbitrary<Refundable> = amounts.chain((amount) =>
  fc
    .integer({ min: 0, max: amount })
    .chain((refunded) =>
      fc
        .integer({ min: 0, max: amount - refunded })
        .map((pending) => ({ amount, refunded, pending })),
    ),
);
const wishes = fc.option(fc.oneof(amounts, fc.integer({ min: 1, max: 100 })), { nil: undefined });

describe('a refund', () => {
  test('never exceeds what is left, and is the wanted amount or a reason', () => {
    fc.assert(
      fc.property(refundables, wishes, (charge, wanted) => {
        const left = charge.amount - charge.refunded;
        const answer = refundAmount(charge, wanted);
        if (typeof answer === 'number') {
          expect(answer).toBeGreaterThanOrEqual(1);
          expect(answer + charge.refunded + charge.pending).toBeLessThanOrEqual(charge.amount);
          expect(answer).toBe(wanted ?? left);
        } else if (answer === 'exceeds') {
          expect((wanted ?? 1) > left).toBe(true); // however the refunds in flight end
        } else {
          expect(charge.pending).toBeGreaterThan(0);
          expect((wanted ?? left) <= left).toBe(true); // it would fit if all in flight failed
          expect((wanted ?? left) > left - charge.pending).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('has the same result for a smaller amount, or is granted', () => {
    fc.assert(
      fc.property(refundables, amounts, fc.nat(), (charge, wanted, less) => {
        const rank = (wish: number) => {
          const answer = refundAmount(charge, wish);
          return answer === 'exceeds' ? 2 : answer === 'pending' ? 1 : 0;
        };
        expect(rank(Math.max(1, wanted - less))).toBeLessThanOrEqual(rank(wanted));
      }),
    );
  });

  test('that waited is granted or exceeds when those in flight have ended', () => {
    fc.assert(
      fc.property(refundables, wishes, fc.nat(), (charge, wanted, some) => {
        fc.pre(refundAmount(charge, wanted) === 'pending');
        const succeeded = some % (charge.pending + 1);
        const later = { ...charge, refunded: charge.refunded + succeeded, pending: 0 };
        expect(refundAmount(later, wanted)).not.toBe('pending');
      }),
    );
  });
});

/** A charge with refunds that are reserved, then succeed or fail in any order. */
interface Model {
  amount: number;
  refunded: number;
  pending: number[];
}
type Real = { refunded: number; pending: number[] };

const sum = (numbers: number[]) => numbers.reduce((total, each) => total + each, 0);

class Reserve implements fc.Command<Model, Real> {
  constructor(readonly wanted: number | undefined) {}
  check = () => true;
  run(model: Model, real: Real): void {
    const { amount } = model;
    const answer = refundAmount(
      { amount, refunded: real.refunded, pending: sum(real.pending) },
      this.wanted,
    );
    // The model states the rule differently: in the worst case, all refunds in flight succeed.
    const worst = amount - model.refunded - sum(model.pending);
    const fits =
      this.wanted === undefined ? model.pending.length === 0 && worst > 0 : this.wanted <= worst;
    expect(typeof answer === 'number').toBe(fits);
    if (typeof answer !== 'number') return;
    real.pending.push(answer);
    model.pending.push(this.wanted ?? worst);
    expect(real.refunded + sum(real.pending)).toBeLessThanOrEqual(amount);
  }
  toString = () => `reserve(${this.wanted ?? 'all'})`;
}

class End implements fc.Command<Model, Real> {
  constructor(
    readonly pick: number,
    readonly succeeds: boolean,
  ) {}
  check = (model: Readonly<Model>) => model.pending.length > 0;
  run(model: Model, real: Real): void {
    const at = this.pick % model.pending.length;
    const [amount = 0] = real.pending.splice(at, 1);
    const [expected = 0] = model.pending.splice(at, 1);
    if (this.succeeds) {
      real.refunded += amount;
      model.refunded += expected;
    }
    expect(real.refunded).toBe(model.refunded);
    expect(real.refunded).toBeLessThanOrEqual(model.amount);
  }
  toString = () => `${this.succeeds ? 'succeed' : 'fail'}(${this.pick})`;
}

test('any sequence of refunds, with some in flight, never exceeds the charge', () => {
  const commands = fc.commands(
    [
      fc.option(fc.integer({ min: 1, max: 1500 }), { nil: undefined }).map((n) => new Reserve(n)),
      fc.tuple(fc.nat({ max: 9 }), fc.boolean()).map(([pick, ok]) => new End(pick, ok)),
    ],
    { maxCommands: 60 },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), commands, (amount, sequence) => {
      fc.modelRun(
        () => ({ model: { amount, refunded: 0, pending: [] }, real: { refunded: 0, pending: [] } }),
        sequence,
      );
    }),
    { numRuns: 300 },
  );
});
