/**
 * Presigned URLs of S3: the signature (Signature Version 4) and its lifetime are in the query string, so whoever has the
 * URL may do that one request. Other requests' signatures are not verified here; these are, because the URL is handed
 * to people, and its expiry is all that takes the right from them again.
 *
 * Rules, in this order, with S3's words: all parameters are there and in range → the date has come → it has not expired
 * → no header that changes the meaning is unsigned → the signature is the one of the role's own secret key. A key that
 * is no role's has no secret that is known here: of its URLs all but the signature is checked.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { AwsError } from './errors.ts';
import type { WireRequest } from './service.ts';

const PARAMETERS = [
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Signature',
  'X-Amz-Date',
  'X-Amz-SignedHeaders',
  'X-Amz-Expires',
];
const ALGORITHM = 'AWS4-HMAC-SHA256';
const UNSIGNED = 'UNSIGNED-PAYLOAD';
/** In seconds. */
const LONGEST_LIFETIME = 7 * 24 * 60 * 60;
/** How far clocks may differ, in ms. */
const CLOCK_SKEW = 15 * 60 * 1000;

/** Whether the credentials of a request are in its query string. */
export function isPresigned(query: URLSearchParams): boolean {
  return PARAMETERS.slice(0, 3).some((name) => query.has(name));
}

/**
 * @param secretAccessKey of the key that the URL names; undefined when it is not known here
 * @param now epoch milliseconds
 * @throws {AwsError} AuthorizationQueryParametersError, InvalidArgument, AccessDenied, SignatureDoesNotMatch,
 *   XAmzContentSHA256Mismatch
 */
export function verifyPresignedUrl(
  request: WireRequest,
  query: URLSearchParams,
  secretAccessKey: string | undefined,
  now: number,
): void {
  if (request.headers.authorization !== undefined) {
    throw new AwsError(
      'InvalidArgument',
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
    );
  }
  const [algorithm, credential, signature, date, signedNames, expires] = PARAMETERS.map((name) => {
    const value = query.get(name);
    if (value !== null) return value;
    throw invalid(`Query-string authentication version 4 requires the ${listed(PARAMETERS)} parameters.`);
  }) as [string, string, string, string, string, string];
  if (algorithm !== ALGORITHM) throw invalid(`X-Amz-Algorithm only supports "${ALGORITHM}"`);
  const signedAt = timeOf(date);
  const [day, region, service] = credential.split('/').slice(1);
  if (day !== date.slice(0, 8)) {
    throw invalid(`Invalid credential date "${day}". This date is not the same as X-Amz-Date: "${date}".`);
  }
  if (!/^\d+$/.test(expires)) throw invalid('X-Amz-Expires should be a number');
  if (Number(expires) > LONGEST_LIFETIME) {
    throw invalid(`X-Amz-Expires must be less than a week (in seconds) that is ${LONGEST_LIFETIME}`);
  }
  if (signedAt > now + CLOCK_SKEW) throw denied('Request is not valid yet');
  if (now > signedAt + Number(expires) * 1000) throw denied('Request has expired');
  const signedHeaders = signedNames.split(';');
  const unsigned = Object.keys(request.headers).find(
    (name) => (name === 'host' || name.startsWith('x-amz-')) && !signedHeaders.includes(name),
  );
  if (unsigned !== undefined) throw denied('There were headers present in the request which were not signed');
  const payload = query.get('X-Amz-Content-Sha256') ?? UNSIGNED;
  if (payload !== UNSIGNED && payload !== sha256(request.body)) {
    throw new AwsError(
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
  }
  if (secretAccessKey === undefined) return;
  const canonicalRequest = [
    request.method,
    request.path.split('/').map(encodedAgain).join('/'),
    canonicalQuery(query),
    ...signedHeaders.map((name) => `${name}:${canonicalValue(request.headers[name])}`),
    '',
    signedNames,
    payload,
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const keys = [day, region, service, 'aws4_request'] as string[];
  const key = keys.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const expected = hmac(key, [ALGORITHM, date, scope, sha256(canonicalRequest)].join('\n')).toString('hex');
  const isRight =
    signature.length === expected.length && timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
  if (isRight) return;
  throw new AwsError(
    'SignatureDoesNotMatch',
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    { status: 403 },
  );
}

/** @returns epoch milliseconds */
function timeOf(date: string): number {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const [year = Number.NaN, month = 0, ...rest] = parts.map(Number);
  const time = Date.UTC(year, month - 1, ...rest);
  if (Number.isNaN(time)) {
    throw invalid(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`);
  }
  return time;
}

/** As the dispatcher reads them: what is verified is what is done. */
function canonicalQuery(query: URLSearchParams): string {
  return [...query]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [encoded(name), encoded(value)] as const)
    .sort(([one, first], [other, second]) => compare(one, other) || compare(first, second))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

function canonicalValue(value: string | string[] | undefined): string {
  return String(value ?? '')
    .trim()
    .replace(/ +/g, ' ');
}

/** A segment of a path; clients differ in what they encode. */
function encodedAgain(segment: string): string {
  try {
    return encoded(decodeURIComponent(segment));
  } catch {
    throw new AwsError('InvalidURI', "Couldn't parse the specified URI.");
  }
}

/** All but letters, digits and `-._~`. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');
const hmac = (key: string | Buffer, content: string): Buffer =>
  createHmac('sha256', key).update(content).digest();

const listed = (names: string[]): string => `${names.slice(0, -1).join(', ')}, and ${names.at(-1)}`;
const invalid = (message: string) => new AwsError('AuthorizationQueryParametersError', message);
const denied = (message: string) => new AwsError('AccessDenied', message, { status: 403 });
