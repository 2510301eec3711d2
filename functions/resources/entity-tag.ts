import { createHash } from 'node:crypto';
import { VersionMismatch } from './errors.ts';

/** A strong validator of the item's representation. It depends on content only, so it survives a move. */
export function entityTag(item: object): string {
  return `"${createHash('sha256').update(JSON.stringify(item)).digest('base64url').slice(0, 27)}"`;
}

const TAGS = /(W\/)?("[^"]*")/g;

/**
 * True where an `If-Match` or `If-None-Match` list names the tag (RFC 9110, 8.8.3.2).
 * @param comparison `strong`: a weak tag never matches, for a change is about bytes; `weak`: it does, for a proxy that
 *   compresses an answer makes its tag a weak one.
 */
export function matchesTag(header: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (header.trim() === '*') return true;
  return [...header.matchAll(TAGS)].some(
    ([, weak, candidate]) => candidate === tag && (comparison === 'weak' || !weak),
  );
}

/** @throws {VersionMismatch} where `If-Match` was given and names another version. */
export function requireMatch(ifMatch: string | undefined, item: object): void {
  if (ifMatch !== undefined && !matchesTag(ifMatch, entityTag(item), 'strong')) {
    throw new VersionMismatch('the stored version is another one');
  }
}
