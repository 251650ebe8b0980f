import { Injectable, Logger } from '@nestjs/common';
import { ObjectAlreadyExists } from '../idempotency/errors.js';
import {
  OperationRegistry,
  type Answer,
  type FoundResource,
  type Intent,
  type LaterBeats,
  type Operation,
  type Performed,
  type Plan,
} from '../idempotency/operation.js';
import { created, problemAnswer } from '../platform/answer.js';
import type { Tx } from '../platform/database.js';
import { Problem } from '../platform/problem.js';
import { Processor, type PaymentParameters, type ProcessorAnswer } from '../processor/processor.js';
import type { CreateCharge } from './charge.dto.js';
import { chargeToWire, chargeUrl, type Charge } from './charge.entity.js';
import { endCharge, findCharge, insertPendingCharge, type ChargeEnd } from './charge.queries.js';

/**
 * `POST /charges` in three beats: reserve the pending charge, let the processor take the money under the charge's
 * own id, settle. Proof: test/guarantees/.
 */
@Injectable()
export class ChargeOperation implements Operation<Charge, ChargeEnd> {
  readonly name = 'POST /charges';
  readonly idPrefix = 'ch';
  readonly later: LaterBeats<Charge, ChargeEnd>;
  private readonly log = new Logger(ChargeOperation.name);

  constructor(
    operations: OperationRegistry,
    private readonly processor: Processor,
  ) {
    this.later = {
      load: (db, intent) => this.load(db, intent),
      perform: (charge) => this.perform(charge),
      settle: (tx, _charge, end, intent) => this.settle(tx, end, intent),
    };
    operations.register(this);
  }

  /** The first beat. The parameters for the processor are fixed here; no later change of code alters them. */
  plan(accountId: string, request: CreateCharge): Plan<Charge> {
    return {
      reserve: async (tx, { id }) => {
        if (request.order !== undefined)
          throw new Problem('not_found', 'No such order.', { retry: 'after_fix' });
        const { amount, currency } = request as Required<CreateCharge>;
        const parameters: PaymentParameters = {
          amount,
          currency,
          payment_method: request.payment_method,
          ...(request.description !== undefined && { description: request.description }),
          metadata: { charge: id, account: accountId },
        };
        const work = await insertPendingCharge(tx, {
          account_id: accountId,
          id,
          amount,
          currency,
          payment_method: request.payment_method,
          description: request.description ?? null,
          receipt_email: request.receipt_email ?? null,
          order_id: request.order ?? null,
          metadata: request.metadata ?? {},
          processor: this.processor.name,
          processor_parameters: this.processor.prepare(parameters),
        });
        if (!work) throw new ObjectAlreadyExists(id);
        return { work };
      },
    };
  }

  async find(db: Tx, accountId: string, id: string): Promise<FoundResource | undefined> {
    const charge = await findCharge(db, accountId, id);
    return (
      charge && {
        object: 'charge',
        id,
        url: chargeUrl(id),
        failed: charge.status === 'failed',
        createdAt: charge.created_at,
      }
    );
  }

  private async load(db: Tx, { accountId, id }: Intent): Promise<Charge> {
    const charge = await findCharge(db, accountId, id);
    if (!charge) throw new Error(`${id} has a record but no charge`); // the auditor looks for this, too
    return charge;
  }

  private async perform(charge: Charge): Promise<Performed<ChargeEnd>> {
    if (charge.processor !== this.processor.name) {
      return open(charge, {
        kind: 'refused',
        reason: `reserved for ${charge.processor}, this process has ${this.processor.name}`,
        alarm: true,
      });
    }
    let answer = await this.processor.pay(charge.id, charge.processor_parameters);
    if (answer.kind === 'unknown' && answer.stored) {
      // The processor will repeat this failure for ever; its ledger knows what became of the payment.
      answer = (await this.processor.look(charge.id, charge.created_at))?.answer ?? answer;
    }
    switch (answer.kind) {
      case 'succeeded':
        return { ended: true, outcome: { status: 'succeeded', reference: answer.reference } };
      case 'declined': {
        const { code, declineCode, reference } = answer;
        return {
          ended: true,
          outcome: { status: 'failed', failureCode: code, declineCode, reference },
        };
      }
      case 'rejected': {
        const { failureCode, reference } = answer;
        return {
          ended: true,
          outcome: { status: 'failed', failureCode, declineCode: null, reference },
        };
      }
      case 'refused':
      case 'unknown':
        this.log[answer.kind === 'refused' && answer.alarm ? 'error' : 'warn'](
          `${charge.id} stays pending: ${answer.reason}`,
        );
        return open(charge, answer);
    }
  }

  private async settle(tx: Tx, end: ChargeEnd, intent: Intent): Promise<Answer> {
    const charge = await endCharge(tx, intent.accountId, intent.id, end);
    return chargeAnswer(charge, intent.requestId);
  }
}

/** The answer that a charge's end stands for, from its row alone. */
export function chargeAnswer(charge: Charge, requestId: string): Answer {
  if (charge.status === 'succeeded') return created(chargeUrl(charge.id), chargeToWire(charge));
  const extensions = { charge: charge.id };
  const problem =
    charge.decline_code !== null
      ? new Problem('card_declined', `The card was declined: ${charge.decline_code}.`, {
          extensions: { decline_code: charge.decline_code, ...extensions },
        })
      : new Problem('charge_failed', `The charge failed: ${charge.failure_code}.`, {
          extensions: { failure_code: charge.failure_code, ...extensions },
        });
  return problemAnswer(problem, requestId);
}

/** No outcome yet: the charge stays pending and recovery goes on. */
function open(charge: Charge, answer: ProcessorAnswer): Performed<ChargeEnd> {
  return {
    ended: false,
    inDoubt: answer.kind === 'unknown',
    error: (inDoubt, retryAfterSeconds) =>
      new Problem(
        inDoubt ? 'processor_outcome_unknown' : 'processor_unavailable',
        inDoubt
          ? 'The processor did not answer in time. The charge is pending; it may have been taken.'
          : 'The processor was not reached. The charge is pending; nothing has been taken so far.',
        {
          extensions: { charge: charge.id },
          headers: { 'Retry-After': String(retryAfterSeconds) },
        },
      ),
  };
}
