import type { Exchange } from '../check/exchange.js';
import type { Profile } from '../profile/profile.js';

/** Shorter credentials are not masked, because they occur in ordinary words. */
const SHORTEST = 6;

/** Keeps credentials out of reports, because people share reports. */
export class Secrets {
  /** Longest first: otherwise the rest of a longer one could remain. */
  private readonly values: string[];
  private readonly headers: Set<string>;

  constructor({ accounts, headers }: Profile) {
    const records = [headers, ...accounts.map((account) => account.headers)];
    this.headers = new Set(
      accounts.flatMap((account) => Object.keys(account.headers).map((name) => name.toLowerCase())),
    );
    this.values = records
      .flatMap((record) => Object.entries(record))
      .filter(([name]) => this.headers.has(name.toLowerCase()) || isCredential(name))
      .flatMap(([, value]) => [value, ...value.split(' ')])
      .filter((value) => value.length >= SHORTEST)
      .sort((a, b) => b.length - a.length);
  }

  mask(text: string): string {
    return this.values.reduce((masked, value) => masked.replaceAll(value, '•••'), text);
  }

  maskExchange(exchange: Exchange): Exchange {
    const { headers, body, answer, error, path } = exchange;
    return {
      ...exchange,
      path: this.mask(path),
      headers: headers.map(([name, value]): [string, string] => [
        name,
        this.headers.has(name.toLowerCase()) || isCredential(name) ? '•••' : this.mask(value),
      ]),
      ...(body !== undefined && { body: this.mask(body) }),
      ...(error !== undefined && { error: this.mask(error) }),
      ...(answer && {
        answer: {
          status: answer.status,
          headers: answer.headers.map(([name, value]): [string, string] => [
            name,
            name === 'set-cookie' ? '•••' : this.mask(value),
          ]),
          text: this.mask(answer.text),
        },
      }),
    };
  }
}

function isCredential(name: string): boolean {
  return /authori[sz]ation|cookie|token|secret|api-?key/i.test(name);
}
