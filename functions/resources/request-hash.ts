import { createHash } from 'node:crypto';

/**
 * The SHA-256 of a request as JSON, hexadecimal, by which a repetition under one `Idempotency-Key` is known. The order of
 * members is none of the request: a client that builds its body anew may send them in another one.
 */
export const requestHash = (request: unknown): string => sha256(JSON.stringify(request, sortMembers));

/**
 * Whether a kept hash is that of the request. Keys that were kept by a version before this one have the hash of the members
 * in the order in which they came.
 */
export async function isRequestHash(
  request: unknown,
  equalsKept: (hash: string) => boolean | Promise<boolean>,
): Promise<boolean> {
  return (await equalsKept(requestHash(request))) || equalsKept(sha256(JSON.stringify(request)));
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

function sortMembers(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}
