import type { Fault } from './faults.js';

const NOTIFICATION = 'UPDATE processor_events SET';
const OF_CHARGE = `WHERE charge_id = '$id'`;
const OF_REFUND = `WHERE refund_id = '$refund'`;
const LONG_AGO = `UPDATE charges SET created_at = now() - interval '1 hour' WHERE id = '$id'`;

/** The processor's notifications. */
export const NOTIFICATION_FAULTS: readonly Fault[] = [
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} charge_id = 'ch_absent' ${OF_CHARGE}`,
  },
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} refund_id = 're_absent' ${OF_REFUND}`,
  },
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} charge_id = '$pending' ${OF_CHARGE}`,
  },
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} refund_id = '$refundPending' ${OF_REFUND}`,
  },
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} charge_id = '$failed' ${OF_CHARGE}`,
  },
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} charge_id = '$bought' ${OF_CHARGE}`, // another payment paid that charge
  },
  {
    invariant: 'notification_applied_but_not_shown',
    sql: `${NOTIFICATION} refund_id = '$refundFailed' ${OF_REFUND}`,
  },
  {
    invariant: 'notification_waiting_for_what_is_there',
    sql: `${LONG_AGO}; ${NOTIFICATION} state = 'waiting', received_at = now() - interval '61 seconds' ${OF_CHARGE}`,
  },
  {
    invariant: 'notification_kept_too_long',
    sql: `${NOTIFICATION} state = 'waiting', charge_id = 'ch_absent', received_at = now() - interval '32 days' ${OF_CHARGE}`,
  },
  {
    invariant: 'notification_parked_without_its_payment',
    sql: `DELETE FROM parked_payments WHERE account_id = '$account'`,
  },
];
