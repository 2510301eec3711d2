import { DocumentTooLarge } from './errors.ts';

type Json = Readonly<Record<string, unknown>>;

/** RFC 7396: members of the patch replace those of the target, `null` removes, objects are merged member by member. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a document of a tenant may be as JSON after a merge, in KB. Larger ones, of older versions, stay readable. */
export const MAX_DOCUMENT_KB = 256;

/** @throws {DocumentTooLarge} the document is larger as JSON text in UTF-8. */
export function requireDocumentSize(
  field: string,
  document: unknown,
  limitKb: number = MAX_DOCUMENT_KB,
): void {
  if (document === undefined || document === null) return;
  if (Buffer.byteLength(JSON.stringify(document)) > limitKb * 1024)
    throw new DocumentTooLarge(field, limitKb);
}

/**
 * A body as a `jsonb` column keeps it, byte by byte: as a string that holds its JSON text. A `jsonb` object would put
 * its members into another order, under the same strong ETag. `column #>> '{}'` is the text again, also of the objects
 * that older versions kept.
 */
export function asJsonText(body: unknown): string {
  return JSON.stringify(JSON.stringify(body));
}
