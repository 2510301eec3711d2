import { invalidInput, Problem } from './problem.ts';

const MAX_BODY_BYTES = 1024 * 1024;
const MAX_DEPTH = 64;
const MEDIA_TYPES: Readonly<Record<string, readonly string[]>> = {
  POST: ['application/json'],
  PUT: ['application/json'],
  PATCH: ['application/json', 'application/merge-patch+json'],
};

/**
 * The request's JSON value, checked for what no later layer should meet.
 * @throws {Problem} 413 over 1 MiB, 415 for another media type, 400 for malformed JSON, `__proto__` keys, NUL or
 *   lone surrogates in strings, numbers beyond what a double holds, or nesting deeper than 64.
 */
export function readJsonBody(event: {
  readonly body?: string | undefined;
  readonly isBase64Encoded: boolean;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly requestContext: { readonly http: { readonly method: string } };
}): unknown {
  const text = event.isBase64Encoded ? decode(event.body ?? '') : (event.body ?? '');
  if (Buffer.byteLength(text) > MAX_BODY_BYTES) {
    throw new Problem(413, 'body-too-large', { detail: 'The body is larger than 1 MiB.' });
  }
  const mediaType = event.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const accepted = MEDIA_TYPES[event.requestContext.http.method] ?? [];
  if (!mediaType || !accepted.includes(mediaType)) {
    throw new Problem(415, 'unsupported-media-type', {
      detail: `The body must be ${accepted.join(' or ')}.`,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text, keepExact as (key: string, value: unknown) => unknown);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw invalidInput([{ pointer: '', detail: 'is not valid JSON' }]);
  }
  checkValue(value, '', 0);
  return value;
}

/** An integer that a double cannot hold would be stored as another one: it is refused, not rounded. */
function keepExact(key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value === 'number' && source && /^-?\d{16,}$/.test(source) && BigInt(source) !== BigInt(value)) {
    throw invalidInput([{ pointer: `/${key}`, detail: 'has more digits than can be kept' }]);
  }
  return value;
}

/** Refuses text that PostgreSQL cannot store or would store as something else. */
export function isStorableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

function decode(body: string): string {
  return Buffer.from(body, 'base64').toString('utf8');
}

function checkValue(value: unknown, pointer: string, depth: number): void {
  if (depth > MAX_DEPTH)
    throw invalidInput([{ pointer: '', detail: `is nested deeper than ${MAX_DEPTH} levels` }]);
  if (typeof value === 'string') {
    if (!isStorableText(value))
      throw invalidInput([{ pointer, detail: 'contains a NUL or an unpaired surrogate' }]);
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw invalidInput([{ pointer, detail: 'is too large a number' }]);
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkValue(item, `${pointer}/${index}`, depth + 1);
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      if (key === '__proto__') throw invalidInput([{ pointer, detail: 'has a key that is not allowed' }]);
      if (!isStorableText(key))
        throw invalidInput([{ pointer, detail: 'has a key with a NUL or an unpaired surrogate' }]);
      checkValue(item, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, depth + 1);
    }
  }
}
