import { asNoAnswer, type Answer, type NoAnswer } from '../wire/answer.js';
import { Connection, type Target } from '../wire/connection.js';
import type { Load } from '../wire/load.js';
import { bytesOf, type Request, type RequestBytes } from '../wire/request.js';

/** One request of a case and its answer: the evidence in the reports. */
export interface Exchange {
  method: string;
  path: string;
  headers: [name: string, value: string][];
  body?: string;
  /** How it was sent, if not in the ordinary way. */
  note?: string;
  answer?: Pick<Answer, 'status' | 'headers' | 'text'>;
  /** Why there is no answer. */
  error?: string;
}

/** What the cases of a run share. */
export interface Session {
  target: Target;
  load: Load;
  timeoutMs: number;
}

/** Long enough for a server to read all other bytes first; the last bytes then start all requests together. */
const BEFORE_LAST_BYTE_MS = 25;

/** One request on a new connection. A case may send only a part of it. */
export class Sending {
  private sent = 0;
  private readonly all: Buffer;

  private constructor(
    private readonly connection: Connection,
    private readonly parts: RequestBytes,
    readonly exchange: Exchange,
    private readonly leave: () => void,
  ) {
    this.all = Buffer.concat([parts.head, parts.body]);
  }

  /** Connects, and sends nothing yet. @throws NoAnswer, CapReached */
  static async open(session: Session, request: Request, exchange: Exchange): Promise<Sending> {
    const leave = await session.load.enter();
    try {
      const connection = await Connection.open(session.target, session.timeoutMs);
      const parts = bytesOf(request, session.target);
      return new Sending(connection, parts, exchange, leave);
    } catch (error) {
      leave();
      exchange.error = (error as Error).message;
      throw error;
    }
  }

  /** Sends all but the last `left` bytes. */
  async sendAllBut(left: number): Promise<void> {
    await this.sendTo(this.all.length - left);
  }

  async sendAll(): Promise<void> {
    await this.sendTo(this.all.length);
  }

  /** Sends the head and half of the body. */
  async sendHalfOfBody(): Promise<void> {
    await this.sendTo(this.parts.head.length + Math.floor(this.parts.body.length / 2));
  }

  async sendHalfOfHead(): Promise<void> {
    await this.sendTo(Math.floor(this.parts.head.length / 2));
  }

  /** One write for each byte. */
  async sendByteByByte(): Promise<void> {
    while (this.sent < this.all.length) await this.sendTo(this.sent + 1);
  }

  private async sendTo(end: number): Promise<void> {
    const bytes = this.all.subarray(this.sent, end);
    this.sent = Math.max(this.sent, end);
    if (bytes.length > 0) await this.connection.write(bytes);
  }

  /** @throws NoAnswer */
  async answer(): Promise<Answer> {
    try {
      const answer = await this.connection.readAnswer();
      this.exchange.answer = answer;
      return answer;
    } catch (error) {
      this.exchange.error = (error as Error).message;
      throw error;
    } finally {
      this.close();
    }
  }

  firstByte(): Promise<void> {
    return this.connection.firstByte();
  }

  stopSending(): void {
    this.connection.stopSending();
  }

  close(): void {
    this.connection.close();
    this.leave();
  }

  reset(): void {
    this.connection.reset();
    this.leave();
  }
}

/** Sends all requests except their last bytes, then all last bytes together. @throws CapReached */
export async function releaseTogether(
  session: Session,
  requests: { request: Request; exchange: Exchange }[],
): Promise<(Answer | NoAnswer)[]> {
  const sendings = await Promise.all(
    requests.map(({ request, exchange }) =>
      Sending.open(session, request, exchange).catch(asNoAnswer),
    ),
  );
  const opened = sendings.filter((each) => each instanceof Sending);
  await Promise.all(opened.map((each) => each.sendAllBut(1)));
  await new Promise((resolve) => setTimeout(resolve, BEFORE_LAST_BYTE_MS));
  await Promise.all(opened.map((each) => each.sendAll()));
  return Promise.all(
    sendings.map(async (each) =>
      each instanceof Sending ? each.answer().catch(asNoAnswer) : each,
    ),
  );
}

/** Several requests on one connection, each sent after the answer to the previous one, or all immediately. */
export async function onOneConnection(
  session: Session,
  requests: { request: Request; exchange: Exchange }[],
  how: 'in turn' | 'pipelined',
): Promise<Answer[]> {
  const leave = await session.load.enter(requests.length);
  try {
    const connection = await Connection.open(session.target, session.timeoutMs);
    const bytes = requests.map(({ request }) => {
      const { head, body } = bytesOf({ ...request, keepAlive: true }, session.target);
      return Buffer.concat([head, body]);
    });
    const exchanges = requests.map(({ exchange }) => exchange);
    return await answersOn(connection, bytes, exchanges, how).finally(() => connection.close());
  } finally {
    leave();
  }
}

async function answersOn(
  connection: Connection,
  requests: Buffer[],
  exchanges: Exchange[],
  how: 'in turn' | 'pipelined',
): Promise<Answer[]> {
  const answers: Answer[] = [];
  if (how === 'pipelined') await connection.write(Buffer.concat(requests));
  for (const [i, exchange] of exchanges.entries()) {
    if (how === 'in turn') await connection.write(requests[i]!);
    const answer = await connection.readAnswer().catch((error: Error) => {
      exchange.error = error.message;
      throw error;
    });
    exchange.answer = answer;
    answers.push(answer);
  }
  return answers;
}
