interface Payment {
  status: string;
  amount: number;
  metadata: Record<string, string | undefined>;
}

/** What customers paid, as the processor's ledger has it; never more than a page in a test. */
export async function paymentsAtProcessor(sandboxUrl: string): Promise<Payment[]> {
  const response = await fetch(`${sandboxUrl}/v1/payment_intents?limit=100`, {
    headers: { authorization: 'Bearer sk_test_any' },
  });
  const { data, has_more: more } = (await response.json()) as {
    data: Payment[];
    has_more: boolean;
  };
  if (more) throw new Error('more payments than one page');
  return data.filter(({ status }) => status === 'succeeded');
}
