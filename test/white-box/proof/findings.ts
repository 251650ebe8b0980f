/** A line for each finding of the illegal histories: rule, history, key, whether a busy service shows it, sentence. */
export const FINDINGS = `
one object for a key | two failed charges | a/k | at once | 2 objects: ch_k, ch_2
one object for a key | two orders | a/k | at once | 2 objects: o, p
one object for a key | two charges, and one payment | a/k | at once | 2 objects: ch_k, ch_2
one payment for a key | two payments, one charge | a/k | at once | 2 payments: pi_1, pi_2
one payment for a key | three payments | a/k | at once | 3 payments: pi_1, pi_2, pi_3
an order is paid once | two keys pay it | a/l | at once | the order a o is paid by pi_1 and pi_2
the same bytes | another body | a/k | at once | #1 and #2 have different final answers
the same bytes | another status | a/k | at once | #1 and #2 have different final answers
the same bytes | of two at once | a/k | at once | #1 and #2 have different final answers
one request is answered | another body gets the answer | a/k | at once | #2 differs from #1 and got its answer
one request is answered | another operation gets the answer | a/k | at once | #2 differs from #1 and got its answer
a seen answer is stored | no record | a/k | at once | #1 got an answer, and there is no record
a seen answer is stored | another answer is stored | a/k | at once | the stored answer is not the one that #1 got
a seen answer is stored | still in progress | a/k | at once | the stored answer is not the one that #1 got
an answered request is replayed | 422 for the same request | a/k | at once | #3 is refused after #1 was answered
an answered request is replayed | 409 after the answer | a/k | at once | #2 is refused after #1 was answered
an answered request is replayed | 404 after the answer | a/k | at once | #2 is refused after #1 was answered
422 needs another request | alone | a/k | at once | #1 is 422, and no other request had this key
422 needs another request | the other comes later | a/k | at once | #1 is 422, and no other request had this key
422 needs another request | the other has another key | a/k | at once | #2 is 422, and no other request had this key
422 needs another request | the other is of another account | a/k | at once | #2 is 422, and no other request had this key
409 needs another request | alone | a/k | at once | #1 is 409, and no other request was open
409 needs another request | alone for less than a lease | a/k | at once | #1 is 409, and no other request was open
409 needs another request | the other was refused before | a/k | at once | #2 is 409, and no other request was open
409 needs another request | the other comes later | a/k | at once | #1 is 409, and no other request was open
own data only | an answer with another account's key | a/k | at once | the answer of #2 is about another key
own data only | a refusal with another key | a/k | at once | the answer of #2 is about another key
own data only | another account's charge | no key | at once | b has read ch_k of another
a refused key is unused | a charge | a/k | at rest | every request was refused, and ch_k exists
a refused key is unused | an order | a/k | at rest | every request was refused, and o exists
a record needs a request | a request writes after it has said that it did nothing | a/k | at rest | the record was written after #1, when no request was open
a record needs a request | the only request says that it did nothing | a/k | at once | the record was written, and #1 says that it did nothing
a record needs a request | two requests say that they did nothing | a/k | at once | the record was written, and #1 says that it did nothing
final states stay | succeeded, then pending | no key | at once | ch_k was succeeded and is pending later
final states stay | failed, then succeeded | no key | at once | ch_k was failed and is succeeded later
charges equal payments | succeeded without a payment | a/k | at rest | ch_k succeeded, and the processor has no payment
charges equal payments | failed with a payment | a/k | at once | ch_k failed, and the processor took pi_1
charges equal payments | another amount | a/k | at once | ch_k is 10, the payment 11
charges equal payments | a payment without a charge | a/k | at once | pi_1 was taken without a charge
refunds agree | given back twice | a/r | at once | re_r is succeeded over 4, the processor gave 8
refunds agree | never given back | a/r | at rest | re_r is succeeded over 4, the processor gave 0
refunds agree | not counted | a/k | at once | ch_k of 10 says 0 refunded, its rows 4
refunds agree | without a row | no key | at once | re_p1 was given back without a row
refunds agree | more than the charge | a/k | at once | ch_k of 10 says 12 refunded, its rows 12
stock agrees | negative | no key | at once | s: on hand -1, held 0
stock agrees | negative hold | no key | at once | s: on hand 10, held -2
stock agrees | sold and still there | no key | at rest | a s: 0 are gone or held, 2 were bought
stock agrees | gone without a sale | no key | at rest | a s: 2 are gone or held, 0 were bought
one event | none | a/k | at once | ch_k is succeeded and has 0 charge.succeeded
one event | two | a/k | at once | ch_k is succeeded and has 2 charge.succeeded
one event | of a failed charge | a/k | at once | ch_k is failed and has 1 charge.succeeded
one receipt | none | a/k | at rest | ch_k is succeeded and has 0 different receipts
one receipt | two messages | a/k | at once | ch_k is succeeded and has 2 different receipts
one receipt | for a failed charge | a/k | at once | ch_k is failed and has 1 different receipts
one shipment | none | a/order-o | at rest | the order o is paid and has 0 shipments
one shipment | two | a/order-o | at once | the order o is paid and has 2 shipments
one shipment | of an open order | a/order-o | at once | the order o is open and has 1 shipments
deliveries agree | of no event | no key | at once | a evt_1 was delivered and is no event
deliveries agree | different bytes | no key | at once | a evt_1 was delivered with different bytes
deliveries agree | never arrived | no key | at rest | evt_1 counts as delivered, and the merchant never got it
deliveries agree | never planned | no key | at rest | evt_2 was relayed, and no delivery exists
nothing is stuck | a record | a/k | at once | k is still in progress
nothing is stuck | a pending charge | a/k | at once | ch_k is still pending
nothing is stuck | finished too late | a/k | at once | k took 32000 ms after healing
nothing is stuck | an event | no key | at once | evt_1 is not relayed
recovery is in time | longer than the lease and 5 s | a/k | at rest | p99 of recovery is 12000 ms, more than 10000
the same bytes | the third answer differs | a/k | at once | #1 and #3 have different final answers
a seen answer is stored | another status is stored | a/k | at once | the stored answer is not the one that #1 got
409 needs another request | another body after the answer | a/k | at once | #2 is 409, and #1 was answered before
own data only | an answer with another account's longer key | a/k | at once | the answer of #2 is about another key
a record needs a request | all requests ended before it | a/k | at rest | the record was written after #1, when no request was open
a record needs a request | it is written when the request begins that says that it did nothing | a/k | at once | the record was written, and #1 says that it did nothing
a record needs a request | it is written when the request says that it did nothing | a/k | at once | the record was written, and #1 says that it did nothing
final states stay | its lines are in another order | no key | at once | ch_k was succeeded and is pending later
final states stay | paid, then open | no key | at once | o was paid and is open later
final states stay | canceled, then paid | no key | at once | o was canceled and is paid later
charges equal payments | a pending charge with another amount | a/k | at once | ch_k is 10, the payment 11
refunds agree | a failed refund was given back | a/r | at once | re_r is failed over 4, the processor gave 4
stock agrees | still held for nothing | no key | at rest | a s: 2 are gone or held, 0 were bought
deliveries agree | the last of three copies differs | no key | at once | a evt_1 was delivered with different bytes
nothing is stuck | a delivery | no key | at once | the delivery dl_evt_1 is still pending
nothing is stuck | a record and its charge, and the charge of another key | a/k | at once | k is still in progress
nothing is stuck | a record and its charge, and the charge of another key | a/l | at once | ch_l is still pending
recovery is in time | the second of two keys | a/l | at rest | p99 of recovery is 12000 ms, more than 10000
an answer is true | a decline was answered, and the money was taken | a/k | at once | #1 was answered 402, and ch_k is succeeded
an answer is true | a success was answered, and the charge failed | a/k | at once | #1 was answered 201, and ch_k is failed
an answer is true | nothing was made | a/k | at once | #1 was answered, and no object exists
an answer is true | a charge with another id | a/k | at once | the answer of #1 shows ch_k, its key made ch_2
an answer is true | a decline of another charge | a/k | at once | the answer of #1 shows ch_2, its key made ch_k
an answer is true | a refund that failed before its answer | a/r | at once | the answer of #1 shows re_2, its key made re_r
made as asked | another amount in all books | a/k | at once | ch_k has {"amount":10,"order":null,"receipt":false}, which no request asked for
made as asked | the amount of a request that was refused | a/k | at rest | ch_k has {"amount":10,"order":null,"receipt":false}, which no request asked for
made as asked | the amount of a request that was not answered | a/k | at once | ch_k has {"amount":10,"order":null,"receipt":false}, which no request asked for
made as asked | another order | a/k | at once | ch_k has {"amount":10,"order":"o","receipt":false}, which no request asked for
made as asked | a refund of another charge | a/r | at rest | re_r has {"amount":4,"charge":"ch_k"}, which no request asked for
made as asked | an order with other items | a/k | at rest | o has {"items":[{"sku":"s","quantity":1,"unit_amount":5}]}, which no request asked for
what was made is found | an account does not find its charge | a/k | at once | #1 shows ch_k, and a later read finds nothing
own data only | a key's payment is booked for another account | a/k | at once | pi_1 belongs to b
own data only | a key's charge belongs to another account | a/k | at once | ch_k belongs to b
422 needs another request | the other was refused and has left the key unused | a/k | at once | #2 is 422, and no other request had this key
an answer is true | a refund failed by its answer, and succeeded | a/r | at once | #1 was answered 402, and re_r is succeeded
an answer is true | a refund is answered before it has ended | a/r | at once | the answer of #1 is not about {"amount":4,"charge":"ch_k","status":"succeeded"}, as re_r is
an answer is true | a success whose charge is pending in it | a/k | at once | the answer of #1 is not about {"amount":10,"order":null,"receipt":false,"status":"succeeded"}, as ch_k is
an answer is true | it shows another amount | a/k | at once | the answer of #1 is not about {"amount":10,"order":null,"receipt":false,"status":"succeeded"}, as ch_k is
an answer is true | an order was declined | a/k | at once | #1 was answered 402, and o is open
made as asked | without the order | a/k | at once | ch_k has {"amount":10,"order":null,"receipt":false}, which no request asked for
made as asked | with an order that no request names | a/k | at once | ch_k has {"amount":10,"order":"o","receipt":false}, which no request asked for
made as asked | without the receipt | a/k | at once | ch_k has {"amount":10,"order":null,"receipt":false}, which no request asked for
a paid order has its charge | paid by no charge | a/order-o | at once | the order o is paid, its charge is none
a paid order has its charge | open after its charge | a/order-o | at once | the order o is open, its charge is ch_k
a paid order has its charge | it names another | a/order-o | at once | the order o names ch_2, and ch_k has paid it
a paid order has its charge | there is no such order | a/k | at once | ch_k has paid o, no order
a paid order has its charge | another amount than the order | a/order-o | at once | the order o costs 12, and ch_k is 10
a receipt goes to its customer | to another address | a/k | at once | the receipt of ch_k went to l@shop.example, whom no request names
a receipt goes to its customer | about no charge | no key | at once | the message m1 is about no charge
final states stay | a succeeded charge has failed at the end | a/k | at once | ch_k was succeeded, and its row is failed
one event | of a failure that was none | a/k | at once | ch_k is succeeded and has 1 charge.failed
one event | a failure without one | a/k | at once | ch_k is failed and has 0 charge.failed
one event | an order is paid twice | a/order-o | at once | o is paid and has 2 order.paid
one event | of a charge that does not exist | no key | at once | evt_1 says charge.succeeded of ch_2, which does not exist
one event | a refund without one | a/k | at once | ch_k is succeeded and has 0 charge.refunded
one event | a refund that did not succeed | a/k | at once | ch_k is succeeded and has 1 charge.refunded
one event | a failed refund has two | a/r | at once | re_r is failed and has 2 refund.failed
one event | a shipment is created twice | no key | at once | f_1 is made and has 2 fulfillment.created
one event | a canceled order without one | a/order-o | at once | o is canceled and has 0 order.canceled
one event | an order that was not paid | a/order-o | at once | o is canceled and has 1 order.paid
one shipment | of no order | no key | at once | f_1 ships o, no order
a paid order has its charge | canceled, and the money is not given back | a/order-o | at once | the order o is canceled, its charge is ch_k
final states stay | canceled after it was paid, then paid | no key | at once | o was canceled and is paid later
refunds agree | of another key's payment | a/r | at once | re_r is of ch_k, and re_p1 gave pi_2 back
refunds agree | of a payment that does not exist | a/r | at rest | re_r is of ch_k, and re_p1 gave pi_3 back
a receipt goes to its customer | to the address of a request that was refused | a/k | at once | the receipt of ch_k went to l@shop.example, whom no request names
a refused key is unused | a charge under a key that no request has | a/other | at rest | no request has this key, and ch_other exists
a refused key is unused | a charge under a key that no request has | a/other | at rest | no request has this key, and pi_2 exists
stock agrees | sold and still held | no key | at rest | a s: 2 are held, and no charge is pending
refunds agree | of a charge that has failed | a/k | at once | ch_k is failed, and 4 of it were refunded
409 needs another request | another body after the answer, and a lost request before | a/k | at once | #3 is 409, and #2 was answered before
an answer is true | a decline is stored, and the charge has succeeded | a/k | at once | a lost request was answered 402, and ch_k is succeeded
an answer is true | an answer is stored, and nothing was made | a/k | at once | a lost request was answered, and no object exists
an answer is true | an error is stored | a/k | at once | a lost request was finally answered 500
an answer is true | the stored answer shows another charge | a/k | at once | the answer of a lost request shows ch_l, its key made ch_k
what was made is found | a charge of a lost request is read, then not found | no key | at once | a has read ch_k, and a later read finds nothing
what was made is found | a charge is read, and has no row | no key | at once | a has read ch_k, which has no row
deliveries agree | of another type | no key | at once | a evt_1 was delivered, and it does not say charge.succeeded of ch_k
deliveries agree | of another object | no key | at once | a evt_1 was delivered, and it does not say charge.succeeded of ch_k
deliveries agree | of another id | no key | at once | a evt_1 was delivered, and it does not say charge.succeeded of ch_k
deliveries agree | a webhook that is not JSON | no key | at once | a evt_1 was delivered, and it does not say charge.succeeded of ch_k
deliveries agree | two of one event | no key | at once | evt_1 has 2 deliveries
`;
