/**
 * A body as a `jsonb` column keeps it, byte by byte: as a string that holds its JSON text. A `jsonb` object would put
 * its members into another order, under the same strong ETag. `column #>> '{}'` is the text again, also of the objects
 * that older versions kept.
 */
export function asJsonText(body: unknown): string {
  return JSON.stringify(JSON.stringify(body));
}
