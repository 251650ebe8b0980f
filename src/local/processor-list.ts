/** Reads all pages of a list of the processor, newest first, by Stripe's cursor. @param query e.g. `&created[gte]=…` */
export async function readProcessorList<Item extends { id: string }>(
  ask: (path: string) => Promise<{ data: Item[]; has_more: boolean }>,
  list: 'payment_intents' | 'refunds',
  query = '',
): Promise<Item[]> {
  const found: Item[] = [];
  for (let after = ''; ; after = `&starting_after=${found.at(-1)?.id}`) {
    const { data, has_more } = await ask(`/v1/${list}?limit=100${query}${after}`);
    found.push(...data);
    if (!has_more) return found;
  }
}
