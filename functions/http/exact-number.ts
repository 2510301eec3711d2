/**
 * True where the double is the number that the JSON text wrote, digit for digit: one with more digits than a double
 * holds, or too small for one, would be stored as another number. Infinity is not looked at.
 */
export function isExact(source: string, value: number): boolean {
  // What a program writes is the shortest text of its double.
  const shortest = String(value);
  return source === shortest || !Number.isFinite(value) || decimalOf(source) === decimalOf(shortest);
}

/** True where the number has so many decimals at most, also as PostgreSQL would round it. */
export function hasDecimals(value: number, decimals: number): boolean {
  return Number(value.toFixed(decimals)) === value;
}

/** One text for each decimal number: sign, digits without zeros at either end, and exponent. */
function decimalOf(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const written = whole + fraction;
  const significant = written.replace(/0+$/, '');
  const digits = significant.replace(/^0+/, '');
  if (digits === '') return '0';
  const scale = Number(exponent) - fraction.length + (written.length - significant.length);
  return `${sign}${digits}e${scale}`;
}
