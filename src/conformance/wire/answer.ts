/** A complete HTTP response. */
export interface Answer {
  status: number;
  /** In the order of the wire; names in lower case. */
  headers: [name: string, value: string][];
  text: string;
  /** The parsed body; `undefined` if it is not JSON. */
  body: unknown;
}

/** There is no complete and valid response. The message says why. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** For `catch`: having no answer is a result, every other error is thrown. */
export function asNoAnswer(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error;
  throw error;
}

/** All values of a header, joined as RFC 9110 §5.3 joins them; `undefined` if it is absent. */
export function headerOf({ headers }: Pick<Answer, 'headers'>, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const values = headers.filter(([each]) => each === wanted).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(', ');
}
