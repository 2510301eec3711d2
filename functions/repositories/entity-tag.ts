import { createHash } from 'node:crypto';
import { VersionMismatch } from './errors.ts';

/** A strong validator of the item's representation. It depends on content only, so it survives a move. */
export function entityTag(item: object): string {
  return `"${createHash('sha256').update(JSON.stringify(item)).digest('base64url').slice(0, 27)}"`;
}

/** True where an `If-Match` or `If-None-Match` list names the tag. Weak tags never match: bytes are compared. */
export function matchesTag(header: string, tag: string): boolean {
  if (header.trim() === '*') return true;
  return header.split(',').some((candidate) => candidate.trim() === tag);
}

/** @throws {VersionMismatch} where `If-Match` was given and names another version. */
export function requireMatch(ifMatch: string | undefined, item: object): void {
  if (ifMatch !== undefined && !matchesTag(ifMatch, entityTag(item))) {
    throw new VersionMismatch('the stored version is another one');
  }
}
