import { send } from './raw-client.js';
import { until } from './until.js';

/**
 * A figure of `GET /metrics`. Waits for the figures from the database, which are left out while the server is slow.
 * @param name without its prefix.
 * @returns NaN if there is none.
 */
export async function metric(url: string, name: string): Promise<number> {
  let text = '';
  await until(async () => {
    ({ text } = await send(`${url}/metrics`, { apiKey: null }));
    return /^charge_once_database_up 1$/m.test(text);
  });
  return Number(new RegExp(`^charge_once_${name} (\\S+)`, 'm').exec(text)?.[1]);
}
