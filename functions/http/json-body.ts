import { jsonPointer } from '../resources/read-input.ts';
import { invalidInput, Problem } from './problem.ts';

const MAX_BODY_BYTES = 1024 * 1024;
const MAX_DEPTH = 64;
const MEDIA_TYPES: Readonly<Record<string, readonly string[]>> = {
  POST: ['application/json'],
  PUT: ['application/json'],
  PATCH: ['application/json', 'application/merge-patch+json'],
};

interface BodyEvent {
  readonly body?: string | undefined;
  readonly isBase64Encoded: boolean;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly requestContext: { readonly http: { readonly method: string } };
}

/**
 * The request's JSON value, checked for what no later layer should meet.
 * @throws {Problem} 413 over 1 MiB, 415 for another media type, charset or content coding, 400 for bytes that are no
 *   UTF-8, malformed JSON, `__proto__` keys, NUL or lone surrogates in strings, numbers that a double does not hold
 *   exactly, or nesting deeper than 64.
 */
export function readJsonBody(event: BodyEvent): unknown {
  requireTakenCoding(event);
  const text = readText(event);
  let value: unknown;
  try {
    value = JSON.parse(text, markInexact as (key: string, value: unknown) => unknown);
  } catch {
    throw invalidInput([{ pointer: '', detail: 'is not valid JSON' }]);
  }
  checkValue(value, []);
  return value;
}

/** @throws {Problem} 415 */
function requireTakenCoding({ headers, requestContext }: BodyEvent): void {
  const coding = headers['content-encoding']?.trim().toLowerCase();
  if (coding && coding !== 'identity') {
    throw new Problem(415, 'unsupported-content-coding', {
      detail: 'The body must be sent without a Content-Encoding.',
      headers: { 'accept-encoding': 'identity' },
    });
  }
  const [mediaType, ...parameters] = (headers['content-type'] ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase());
  const accepted = MEDIA_TYPES[requestContext.http.method] ?? [];
  if (!mediaType || !accepted.includes(mediaType)) {
    throw new Problem(415, 'unsupported-media-type', {
      detail: `The body must be ${accepted.join(' or ')}.`,
    });
  }
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (charset && !['utf-8', 'us-ascii'].includes(charset.replace(/^"(.*)"$/, '$1'))) {
    throw new Problem(415, 'unsupported-media-type', { detail: 'The body must be in UTF-8.' });
  }
}

/** @throws {Problem} 413, or 400 for bytes that are no UTF-8. */
function readText({ body = '', isBase64Encoded, headers }: BodyEvent): string {
  const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
  if (bytes.length > MAX_BODY_BYTES) {
    throw new Problem(413, 'body-too-large', { detail: 'The body is larger than 1 MiB.' });
  }
  const notUtf8 = () => invalidInput([{ pointer: '', detail: 'is not text in UTF-8' }]);
  if (isBase64Encoded) {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw notUtf8();
    }
  }
  // A gateway that decoded the body has put this character for bytes that are no UTF-8, and so changed the length.
  if (body.includes('\ufffd') && headers['content-length'] !== String(bytes.length)) throw notUtf8();
  return body;
}

/** Stands for a number that a double cannot hold, until its place in the document is known. */
const INEXACT = Symbol('a number with more digits than can be kept');

function markInexact(_key: string, value: unknown, { source }: { source?: string }): unknown {
  return typeof value === 'number' && source && !isExact(source, value) ? INEXACT : value;
}

/** Refuses text that PostgreSQL cannot store or would store as something else. */
export function isStorableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/**
 * @param path the value's place, as long as the call lasts.
 * @throws {Problem} 400
 */
function checkValue(value: unknown, path: PropertyKey[]): void {
  const refuse = (detail: string) => invalidInput([{ pointer: jsonPointer(path), detail }]);
  const checkMember = (key: PropertyKey, member: unknown) => {
    path.push(key);
    checkValue(member, path);
    path.pop();
  };
  if (path.length > MAX_DEPTH)
    throw invalidInput([{ pointer: '', detail: `is nested deeper than ${MAX_DEPTH} levels` }]);
  if (typeof value === 'string') {
    if (!isStorableText(value)) throw refuse('contains a NUL or an unpaired surrogate');
  } else if (value === INEXACT) {
    throw refuse('has more digits than can be kept');
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw refuse('is too large a number');
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkMember(index, item);
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      if (key === '__proto__') throw refuse('has a key that is not allowed');
      if (!isStorableText(key)) throw refuse('has a key with a NUL or an unpaired surrogate');
      checkMember(key, item);
    }
  }
}

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
