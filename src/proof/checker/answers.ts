import { markerOf } from '../history.js';
import {
  answered,
  groupBy,
  IN_PROGRESS,
  isSameRequest,
  mayHaveWritten,
  type Attempt,
} from './digest.js';
import type { Finding, Rule } from './violation.js';

// What the answers of one key may contain. The rules know the HTTP contract and the history, not the code.

/** Every final answer of a key has the same status and the same bytes. */
export const sameBytes: Rule = ({ keys }) =>
  keys.flatMap((history) => {
    const [first, ...others] = answered(history);
    const other = others.find((each) => !isSameAnswer(each, first!));
    return other ? [about(other, `#${first!.n} and #${other.n} have different final answers`)] : [];
  });

/** A final answer goes to one request only. Another body or operation under the key never gets it. */
export const oneRequestAnswered: Rule = ({ keys }) =>
  keys.flatMap((history) => {
    const [first, ...others] = answered(history);
    const other = others.find((each) => !isSameRequest(each, first!));
    return other ? [about(other, `#${other.n} differs from #${first!.n} and got its answer`)] : [];
  });

/** A final answer that a client has seen is in the database. */
export const answerIsStored: Rule = ({ keys, recordOf }) =>
  keys.flatMap((history) => {
    const [first] = answered(history);
    if (!first) return [];
    const record = recordOf.get(history.marker);
    if (!record) return [about(first, `#${first.n} got an answer, and there is no record`)];
    const isStored = record.status === first.status && record.body === first.answer;
    return isStored ? [] : [about(first, `the stored answer is not the one that #${first.n} got`)];
  });

/** After a client has received the final answer, the same request is never refused. */
export const replaysTheAnswer: Rule = ({ keys }) =>
  keys.flatMap(({ attempts }) =>
    attempts.flatMap((later) => {
      const first = answeredBefore(attempts, later);
      if (later.outcome !== 'fail' || !first) return [];
      return [about(later, `#${later.n} is refused after #${first.n} was answered`)];
    }),
  );

/**
 * 422 `idempotency_key_reused` needs another body or operation that was sent before this request ended and may have
 * used the key: a refused request leaves its key unused.
 */
export const reusedNeedsAnother: Rule = ({ keys }) =>
  keys.flatMap(({ attempts }) =>
    attempts
      .filter(({ code }) => code === 'idempotency_key_reused')
      .filter(
        (refused) =>
          !attempts.some(
            (each) =>
              each.invokedAt <= refused.endedAt &&
              mayHaveWritten(each) &&
              !isSameRequest(each, refused),
          ),
      )
      .filter((refused) => !answeredBefore(attempts, refused)) // replaysTheAnswer finds that
      .map((refused) => about(refused, `#${refused.n} is 422, and no other request had this key`)),
  );

/**
 * 409 `idempotency_request_in_progress` needs another request that was not over when this one began, or a lease that
 * ended: then the sweep may work on the record, and this request waits for it. It is wrong after a final answer.
 */
export const inProgressNeedsAnother: Rule = ({ keys, leaseMs }) =>
  keys.flatMap(({ attempts }) =>
    attempts
      .filter(({ code }) => code === IN_PROGRESS)
      .filter((refused) => !answeredBefore(attempts, refused)) // replaysTheAnswer finds that
      .flatMap((refused) => {
        const { n, invokedAt, endedAt } = refused;
        const answer = answered({ attempts }).find((each) => each.endedAt < invokedAt);
        if (answer) return [about(refused, `#${n} is 409, and #${answer.n} was answered before`)];
        const isOvertaken = endedAt - invokedAt >= leaseMs;
        if (isOvertaken || attempts.some((each) => each !== refused && isOpen(each, refused)))
          return [];
        return [about(refused, `#${n} is 409, and no other request was open`)];
      }),
  );

/** An answer contains no data of another account or another key, and what a key made belongs to its account. */
export const ownDataOnly: Rule = ({ keys, keyOf, reads, rows, ledger }) => {
  const markers = keys.map(({ marker }) => marker);
  const known = new Set(markers);
  const mixed = keys.flatMap(({ attempts, marker }) =>
    attempts
      .filter(({ answer }) => answer !== undefined)
      .filter(({ answer }) => markersIn(answer!).some((each) => known.has(each) && each !== marker))
      .map((attempt) => about(attempt, `the answer of #${attempt.n} is about another key`)),
  );
  // A client chooses the id of an order, so two accounts may have it.
  const owners = groupBy([...rows.charges, ...rows.refunds, ...rows.orders], ({ id }) => id);
  const foreign = reads.filter(({ status, object, account }) => {
    const found = owners.get(object) ?? [];
    return status === 200 && found.length > 0 && !found.some((each) => each.account === account);
  });
  const made = [...rows.charges, ...rows.refunds, ...rows.orders, ...ledger.payments];
  const misplaced = made.filter(
    ({ marker, account }) => (keyOf.get(marker)?.account ?? account) !== account,
  );
  return [
    ...mixed,
    ...misplaced.map(({ id, account, marker }) => ({
      says: `${id} belongs to ${account}`,
      marker,
    })),
    ...foreign.map(({ account, object }) => ({ says: `${account} has read ${object} of another` })),
  ];
};

/** Bodies carry `account/key` as description, reason or metadata. */
const markersIn = (answer: string) =>
  [...answer.matchAll(/"([\w.-]+\/[\w.-]+)"/g)].map(([, marker]) => marker!);

/** If all requests of a key were refused, or none was sent, nothing exists under the key. */
export const refusedWritesNothing: Rule = ({ keys, keyOf, rows, ledger }) => {
  const refused = keys.flatMap(({ attempts, marker }): Finding[] => {
    if (attempts.some(({ outcome }) => outcome !== 'fail')) return [];
    const objects = [...rows.charges, ...rows.refunds, ...rows.orders, ...ledger.payments];
    const found = objects.find((each) => each.marker === marker);
    const says = `every request was refused, and ${found?.id} exists`;
    return found ? [{ ...about(attempts[0]!, says), atRest: true }] : [];
  });
  // Only money: the driver makes orders without a key, and a refund may be made at the processor.
  const unsent = [...rows.charges, ...ledger.payments].filter(({ marker }) => !keyOf.has(marker));
  return [
    ...refused,
    ...unsent.map(({ id, marker }) => ({
      says: `no request has this key, and ${id} exists`,
      marker,
      atRest: true, // it may have been sent after the history was read
    })),
  ];
};

/** When a record was written, a request was open that may have written it. */
export const recordNeedsRequest: Rule = ({ keys, recordOf }) =>
  keys.flatMap(({ attempts, marker }) => {
    const { firstSeenAt = 0 } = recordOf.get(marker) ?? {};
    const sent = attempts.filter(({ invokedAt }) => invokedAt <= firstSeenAt);
    const isWriter = (each: Attempt) =>
      mayHaveWritten(each) && (each.endedAt >= firstSeenAt || each.outcome === 'unknown');
    if (sent.length === 0 || sent.some(isWriter)) return [];
    const denial = sent.find(({ endedAt }) => endedAt >= firstSeenAt);
    const last = denial ?? sent.at(-1)!;
    const says = denial
      ? `the record was written, and #${last.n} says that it did nothing`
      : `the record was written after #${last.n}, when no request was open`;
    // If all requests had ended, the writer may be a request that was sent after the history was read.
    return [{ ...about(last, says), atRest: denial === undefined }];
  });

/**
 * Final states do not change. If one read ended before the next began, the state does not go back. A final state that
 * was read is also the state of the row at the end.
 */
export const statesGoForward: Rule = ({ reads, rows }) => {
  const findings: Finding[] = [];
  const seen = new Map<string, { state: string; until: number }>();
  const inOrder = reads
    .filter(({ status, state }) => status === 200 && state !== undefined)
    .sort((a, b) => a.until - b.until);
  for (const { account, object, state = '', at, until } of inOrder) {
    const name = `${account} ${object}`;
    const final = seen.get(name);
    if (final && final.until < at && !mayFollow(final.state, state))
      findings.push({ says: `${object} was ${final.state} and is ${state} later` });
    if (final ? isCanceledSale(final.state, state) : FINAL.has(state))
      seen.set(name, { state, until });
  }
  for (const { account, id, status, marker } of [...rows.charges, ...rows.orders]) {
    const { state = status } = seen.get(`${account} ${id}`) ?? {};
    if (!mayFollow(state, status))
      findings.push({ says: `${id} was ${state}, and its row is ${status}`, marker });
  }
  return findings;
};

/** The service cancels a paid order that it cannot deliver. Nothing else follows a final state. */
const mayFollow = (final: string, later: string) => final === later || isCanceledSale(final, later);

const isCanceledSale = (before: string, later: string) => before === 'paid' && later === 'canceled';

/** After an answer or a read that shows an object, its account finds it, and the object has a row at the end. */
export const madeIsFound: Rule = ({ keys, reads, rows }) => {
  const nameOf = ({ account, object }: { account: string; object: string }) =>
    `${account} ${object}`;
  const seen = groupBy(
    reads.filter(({ status }) => status === 200),
    nameOf,
  );
  const made = [...rows.charges, ...rows.refunds, ...rows.orders];
  const ids = new Set(made.map(({ id }) => id));
  const answers = groupBy(keys.flatMap(answered), ({ account }) => account);
  const missing = reads
    .filter(({ status }) => status === 404)
    .flatMap((read): Finding[] => {
      const { account, object, at } = read;
      const shown = answers
        .get(account)
        ?.find(({ endedAt, answer }) => endedAt < at && answer?.includes(`"${object}"`));
      if (shown)
        return [about(shown, `#${shown.n} shows ${object}, and a later read finds nothing`)];
      if (!seen.get(nameOf(read))?.some(({ until }) => until < at)) return [];
      return [{ says: `${account} has read ${object}, and a later read finds nothing` }];
    });
  const gone = [...seen.values()].map(([read]) => read!).filter(({ object }) => !ids.has(object));
  return [
    ...missing,
    ...gone.map(({ account, object }) => ({
      says: `${account} has read ${object}, which has no row`,
    })),
  ];
};

const FINAL = new Set(['succeeded', 'failed', 'paid', 'canceled']);

const isSameAnswer = (a: Attempt, b: Attempt) => a.status === b.status && a.answer === b.answer;

/**
 * A request without a definite end may still be at work in the service, even after a 5xx, and so may the work that a
 * 409 waited for. Within one millisecond the order is unknown; then the rule assumes that the service is right.
 */
const isOpen = (other: Attempt, refused: Attempt) =>
  other.invokedAt <= refused.endedAt &&
  (other.outcome === 'unknown' || other.code === IN_PROGRESS || other.endedAt >= refused.invokedAt);

/** An earlier attempt of the same request, which was answered before this one began. */
const answeredBefore = (attempts: Attempt[], later: Attempt) =>
  attempts.find(
    (each) => each.outcome === 'ok' && each.endedAt < later.invokedAt && isSameRequest(each, later),
  );

function about({ account, key }: Attempt, says: string): Finding {
  return { says, marker: markerOf(account, key) };
}
