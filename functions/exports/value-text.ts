/**
 * Converts values of a binary COPY stream to text. PostgreSQL converts the text back to the same value with any
 * settings.
 *
 * The binary forms are those of PostgreSQL's `send` functions for the types of the tenant tables (column.ts). The text
 * does not depend on a server's `datestyle` or `timezone`: dates are ISO 8601, times are UTC with `Z`.
 */
import { SocketAddress } from 'node:net';

/** @throws {TypeError} the bytes are not the binary form of the type. */
export type TextOf = (value: Buffer) => string;

/** @param type PostgreSQL's name of the type, with its modifier. @throws {TypeError} the type is not supported. */
export function textOfType(type: string): TextOf {
  const known = TYPES[type.replace(/\(.*$/, '')];
  if (!known) throw new TypeError(`values of type ${type} cannot be exported`);
  return known;
}

const TYPES: Readonly<Record<string, TextOf>> = {
  uuid: uuidText,
  text: (value) => value.toString('utf8'),
  'character varying': (value) => value.toString('utf8'),
  integer: (value) => String(value.readInt32BE(0)),
  numeric: numericText,
  boolean: (value) => (value[0] === 0 ? 'false' : 'true'),
  'timestamp with time zone': timestampText,
  date: (value) => dayText(value.readInt32BE(0)),
  jsonb: jsonbText,
  bytea: (value) => `\\x${value.toString('hex')}`,
  inet: addressText,
};

function uuidText(value: Buffer): string {
  const digits = value.toString('hex');
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ].join('-');
}

const DECIMAL_DIGITS = 4;
const NUMERIC_SIGN: Readonly<Record<number, string>> = { 0: '', 16384: '-' };
const NUMERIC_SPECIAL: Readonly<Record<number, string>> = {
  49152: 'NaN',
  53248: 'Infinity',
  61440: '-Infinity',
};

/** The digits have base 10,000. `weight` is the power of the first digit, `scale` the number of decimals. */
function numericText(value: Buffer): string {
  const count = value.readUInt16BE(0);
  const weight = value.readInt16BE(2);
  const signWord = value.readUInt16BE(4);
  const scale = value.readUInt16BE(6);
  const special = NUMERIC_SPECIAL[signWord];
  if (special) return special;
  const sign = NUMERIC_SIGN[signWord];
  if (sign === undefined) throw new TypeError('not a numeric value');
  const digit = (power: number): string => {
    const index = weight - power;
    const number = index >= 0 && index < count ? value.readUInt16BE(8 + 2 * index) : 0;
    return String(number).padStart(DECIMAL_DIGITS, '0');
  };
  let whole = '';
  for (let power = weight; power >= 0; power--) whole += digit(power);
  let fraction = '';
  for (let power = -1; fraction.length < scale; power--) fraction += digit(power);
  const integer = whole.replace(/^0+(?=\d)/, '') || '0';
  return `${sign}${integer}${scale > 0 ? `.${fraction.slice(0, scale)}` : ''}`;
}

const LONGEST = 2n ** 63n;
const MICROSECONDS_PER_DAY = 86_400_000_000n;

/** Microseconds since 2000-01-01 00:00 UTC. The smallest and the largest 64-bit value are the infinities. */
function timestampText(value: Buffer): string {
  const microseconds = value.readBigInt64BE(0);
  if (microseconds === LONGEST - 1n) return 'infinity';
  if (microseconds === -LONGEST) return '-infinity';
  const inDay = ((microseconds % MICROSECONDS_PER_DAY) + MICROSECONDS_PER_DAY) % MICROSECONDS_PER_DAY;
  const { date, era } = calendarDay(Number((microseconds - inDay) / MICROSECONDS_PER_DAY));
  const rest = Number(inDay);
  const seconds = Math.floor(rest / 1_000_000);
  const fraction = rest % 1_000_000;
  const clock = [seconds / 3_600, (seconds / 60) % 60, seconds % 60].map((part) =>
    padded(Math.floor(part), 2),
  );
  return `${date}T${clock.join(':')}${fraction === 0 ? '' : `.${padded(fraction, 6)}`}Z${era}`;
}

/** Days since 2000-01-01. The smallest and the largest 32-bit value are the infinities. */
function dayText(days: number): string {
  if (days === 2 ** 31 - 1) return 'infinity';
  if (days === -(2 ** 31)) return '-infinity';
  const { date, era } = calendarDay(days);
  return `${date}${era}`;
}

const DAYS_PER_ERA = 146_097;
/** Days from 0000-03-01 to 2000-01-01. Years begin in March here, so a leap day is the last day of its year. */
const DAYS_TO_2000 = 730_425;

/**
 * Converts days to a date of the proleptic Gregorian calendar, with eras of 400 years that begin on March 1
 * (http://howardhinnant.github.io/date_algorithms.html#civil_from_days). `Date` has only the years -271,821 to 275,760.
 */
function calendarDay(days: number): { readonly date: string; readonly era: '' | ' BC' } {
  const shifted = days + DAYS_TO_2000;
  const era = Math.floor(shifted / DAYS_PER_ERA);
  const dayOfEra = shifted - era * DAYS_PER_ERA;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  // There is no year 0: the year before 1 is 1 BC.
  const shown = year > 0 ? year : 1 - year;
  return {
    date: `${padded(shown, 4)}-${padded(month, 2)}-${padded(day, 2)}`,
    era: year > 0 ? '' : ' BC',
  };
}

const padded = (number: number, digits: number) => String(number).padStart(digits, '0');

const JSONB_VERSION = 1;

function jsonbText(value: Buffer): string {
  if (value[0] !== JSONB_VERSION) throw new TypeError('not a jsonb value of a known version');
  return value.toString('utf8', 1);
}

const IPV4 = 2;
const IPV6 = 3;

/** Binary form: family, bits of the network mask, whether the type is cidr, number of bytes, and the address. */
function addressText(value: Buffer): string {
  const [family, bits] = value;
  const address = value.subarray(4);
  if (family === IPV4) return `${address.join('.')}${bits === 32 ? '' : `/${bits}`}`;
  if (family !== IPV6) throw new TypeError('not an inet value');
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(2 * index).toString(16));
  const shortest = new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
  return `${shortest}${bits === 128 ? '' : `/${bits}`}`;
}
