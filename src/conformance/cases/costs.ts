/** What most failures cost. */
export const PAYS_TWICE = 'The customer pays twice for one purchase.';
export const TWO_IN_ONE =
  'Two purchases become one: the second is never made, and its client believes that it was.';
export const NOT_MADE = 'The purchase is not made, and a repeat of the request does not help.';
export const WRONG_ANSWER = 'The client books something other than what happened.';
export const OTHER_CUSTOMER = "A customer sees or gets another customer's purchase.";
export const SUPPORT = 'Clients cannot act on the answer; people have to look each case up.';
