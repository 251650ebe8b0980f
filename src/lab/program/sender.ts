import { setTimeout as delay } from 'node:timers/promises';
import type { Journal } from '../service/journal-writer.js';
import {
  bytesOf,
  curlOf,
  exchange,
  type Break,
  type Exchange,
  type WireRequest,
} from './client.js';
import { knowledgeOf } from './knowledge.js';
import type { LiveRun, TrackAccount } from './live-run.js';

export interface Sending {
  /** The value of `Lab-Fault`. */
  fault?: string;
  /** Absent: the request has no key, as in the naive lane. */
  key?: string;
  headers?: Record<string, string>;
  break?: Break;
}

export interface SenderTools {
  run: LiveRun;
  apiUrl: string;
  journal: Journal;
}

/** How long a client tries to connect while the service starts again, in ms. */
const PATIENCE_MS = 30_000;
const CONNECT_AGAIN_MS = 200;
/** In a class of thirty, others kill the API several times during one request. */
const MAX_REPEATS = 10;

/** Sends the requests of one lane, numbers them, and records what its client knows. */
export class Sender {
  private attempts = 0;

  constructor(
    private readonly own: TrackAccount,
    private readonly tools: SenderTools,
  ) {}

  /**
   * Sends again a request that was lost although this run did not break it: the process died for another run. Never
   * a POST without a key, because that would be another purchase.
   */
  async send(
    method: string,
    path: string,
    body: string | undefined,
    sending: Sending,
  ): Promise<Exchange> {
    const isSafe = sending.key !== undefined || method !== 'POST';
    const isBrokenHere = sending.fault !== undefined || sending.break !== undefined;
    for (let repeats = 0; ; repeats++) {
      const result = await this.sendOnce(method, path, body, sending);
      if (result.kind !== 'lost' || isBrokenHere || !isSafe || repeats === MAX_REPEATS)
        return result;
      await this.pause(CONNECT_AGAIN_MS);
    }
  }

  /** One attempt. While the service is down, it tries to connect again: nothing was sent, so nothing is in doubt. */
  private async sendOnce(
    method: string,
    path: string,
    body: string | undefined,
    sending: Sending,
  ): Promise<Exchange> {
    const { run, apiUrl, journal } = this.tools;
    const attempt = ++this.attempts;
    const about = { account: this.own.account, attempt };
    const request = this.request(method, path, body, sending, attempt);
    const masked = {
      ...request,
      headers: { ...request.headers, Authorization: 'Bearer $LAB_KEY' },
    };
    const bytes = bytesOf(apiUrl, masked);
    run.sent.set(`${this.own.track}.${attempt}`, { request, bytes, curl: curlOf(apiUrl, masked) });
    const until = Date.now() + PATIENCE_MS;
    for (let tries = 1; ; tries++) {
      const result = await exchange(apiUrl, request, sending.break);
      if (result.kind === 'refused' && Date.now() < until) {
        if (tries === 1) journal.write({ kind: 'refused-connection', method, path, bytes }, about);
        await this.pause(CONNECT_AGAIN_MS);
        continue;
      }
      if (result.kind === 'lost' && sending.break)
        journal.write({ kind: 'hang-up', text: result.reason }, about);
      journal.write({ kind: 'knows', ...knowledgeOf(result) }, about);
      return result;
    }
  }

  private request(
    method: string,
    path: string,
    body: string | undefined,
    { key, fault, headers }: Sending,
    attempt: number,
  ): WireRequest {
    return {
      method,
      path,
      headers: {
        Authorization: `Bearer ${this.own.apiKey}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...(key !== undefined && { 'Idempotency-Key': key }),
        'Lab-Run': `${this.tools.run.run.id}.${attempt}`,
        ...(fault && { 'Lab-Fault': fault }),
        ...headers,
      },
      ...(body !== undefined && { body }),
    };
  }

  private async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.tools.run.stopping.signal });
  }
}
