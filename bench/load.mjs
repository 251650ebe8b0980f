import autocannon from 'autocannon';

export const CHARGE = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };

/** Sends requests as fast as they are answered. @throws if a response is missing or not 2xx. */
export async function fire(url, nextKey, body, limit) {
  const cpu = process.cpuUsage();
  const result = await autocannon({
    url,
    ...limit,
    requests: [
      {
        method: 'POST',
        body: JSON.stringify(body),
        setupRequest: (request) => ({
          ...request,
          headers: {
            'content-type': 'application/json',
            authorization: 'Bearer sk_test_acme',
            'idempotency-key': nextKey(),
          },
        }),
      },
    ],
  });
  const failed = result.non2xx + result.errors + result.timeouts;
  if (failed > 0) {
    const { statusCodeStats, errors, timeouts } = result;
    throw new Error(`${url}: ${JSON.stringify({ statusCodeStats, errors, timeouts })}`);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { ...result, ownCpuMs: (user + system) / 1000 };
}
