import { DocumentTooLarge } from './errors.ts';

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
