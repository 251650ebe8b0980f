import { send } from './raw-client.js';
import { until } from './until.js';

/** The page, with the figures that live in the database: for a server that is too slow they are left out. */
export async function metricsOf(url: string): Promise<string> {
  let text = '';
  await until(async () => {
    ({ text } = await send(`${url}/metrics`, { apiKey: null }));
    return /^charge_once_database_up 1$/m.test(text);
  });
  return text;
}

/** @param name without its prefix. @returns NaN if there is none. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await metricsOf(url);
  return Number(new RegExp(`^charge_once_${name} (\\S+)`, 'm').exec(text)?.[1]);
}
