// The parts of PostgreSQL's protocol that a proxy reads, to know which message commits.

/** Which transaction is committed, recognised by the statements since its BEGIN. */
export type Beat = 'reserve' | 'settle';

const READY_FOR_QUERY_BYTES = 6;

/**
 * Follows a server's answers. @returns whether it is ready for the next query: a statement outside of a transaction,
 * or a COMMIT, has then been executed. Rows may arrive before that.
 */
export function newReadyReader(): (data: Buffer) => boolean {
  let tail = Buffer.alloc(0);
  return (data) => {
    tail = Buffer.concat([tail, data]).subarray(-READY_FOR_QUERY_BYTES);
    return tail[0] === 'Z'.charCodeAt(0);
  };
}

/** For each message of one connection: the beat of the current transaction, and whether the message commits it. */
export function newTransactionReader(): (
  type: string,
  text: string,
) => { ending: boolean; beat: Beat | undefined } {
  let beat: Beat | undefined;
  let inTransaction = false;
  return (type, text) => {
    if (!inTransaction) beat = undefined;
    if (type === 'Q' && /^(BEGIN|START TRANSACTION)/.test(text)) inTransaction = true;
    if (text.includes('INSERT INTO idempotency_records')) beat = 'reserve';
    if (text.includes("SET state = 'completed'")) beat ??= 'settle';
    // Parse has no effect; Bind is followed by the execution.
    const alone = type === 'B' && !inTransaction && beat !== undefined;
    const commits = type === 'Q' && text.startsWith('COMMIT');
    if (type === 'Q' && /^(COMMIT|ROLLBACK)/.test(text)) inTransaction = false;
    return { ending: alone || commits, beat };
  };
}

/**
 * Splits the frontend's stream into messages: one byte of type, then four of length. The length includes these four.
 * The first message has no type. Source: "Message Formats" in the PostgreSQL manual.
 */
export function newMessageReader(
  take: (type: string, text: string, bytes: Buffer) => unknown,
): (data: Buffer) => void {
  let pending = Buffer.alloc(0);
  let started = false;
  const prepared = new Map<string, string>();
  /** The text of a query, of a parsed statement, or of a statement that is executed again by its name. */
  const textOf = (type: string, bytes: Buffer): string => {
    const [first = '', second = ''] = bytes.toString('utf8', 5).split('\0', 2);
    if (type === 'P') prepared.set(first, second);
    return { Q: first, P: second, B: prepared.get(second) }[type] ?? '';
  };
  return (data) => {
    pending = Buffer.concat([pending, data]);
    for (;;) {
      const header = started ? 5 : 4;
      if (pending.length < header) return;
      const length = pending.readInt32BE(header - 4) + header - 4;
      if (pending.length < length) return;
      const bytes = pending.subarray(0, length);
      pending = pending.subarray(length);
      const type = started ? String.fromCharCode(bytes[0]!) : '';
      const text = started ? textOf(type, bytes) : '';
      started = true;
      take(type, text, bytes);
    }
  };
}
