/**
 * The only table of currencies, used by the API and the sandbox: those that Stripe takes and counts in the minor unit
 * of ISO 4217. Amounts go to the processor unchanged, so a different unit there would be a different amount of money.
 *
 * Source: docs.stripe.com/currencies, sections "Supported presentment currencies", "Zero-decimal currencies",
 * "Three-decimal currencies" and "Special cases". The units of ISO 4217 come from the package `currency-codes`;
 * test/white-box/money/currencies.spec.ts compares them. Left out on purpose:
 * - `isk` and `ugx`: ISO 4217 has no minor unit, Stripe counts two decimals;
 * - `mga`: ISO 4217 counts two decimals, Stripe none;
 * - `ang`, `bgn`, `hrk` and `std`: no longer in use;
 * - metals, funds and test codes (`xau`, `xdr`, `xts`). The X-codes below are shared by several countries.
 *
 * `huf` and `twd` are special only for payouts.
 */
const ZERO_DECIMALS = 'bif clp djf gnf jpy kmf krw pyg rwf vnd vuv xaf xof xpf';

const TWO_DECIMALS = `
  aed afn all amd aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve czk dkk
  dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr
  lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd
  rub sar sbd scr sek sgd shp sle sos srd szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd yer zar zmw`;

const THREE_DECIMALS = 'bhd jod kwd omr tnd';

const decimals: ReadonlyMap<unknown, number> = new Map(
  [ZERO_DECIMALS, TWO_DECIMALS, THREE_DECIMALS].flatMap((codes, index) =>
    codes
      .trim()
      .split(/\s+/)
      .map((code) => [code, [0, 2, 3][index]!] as const),
  ),
);

/** In lower case, as at Stripe. */
export const CURRENCIES = [...decimals.keys()].sort() as string[];

export function isCurrency(value: unknown): boolean {
  return decimals.has(value);
}

/** Card networks use at most two decimals, so Stripe requires the third to be 0, in charges and refunds. */
export function stepOf(currency: unknown): 1 | 10 {
  return decimals.get(currency) === 3 ? 10 : 1;
}
