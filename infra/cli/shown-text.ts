/**
 * Characters that a terminal or a log viewer would act upon: C0 and C1 controls, DEL, line and paragraph separators, and
 * those that reverse the direction of text.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for.
const ACTIVE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const NAMES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Stored text as it may be written to a terminal: what would be acted upon is shown instead. */
export function shownText(text: string): string {
  return text.replace(ACTIVE, (character) => NAMES[character] ?? escaped(character));
}

/** JSON of a value that any terminal may be shown; it parses to the same value. */
export function shownJson(value: unknown): string {
  const json = JSON.stringify(value, null, 2);
  // JSON.stringify leaves DEL, the C1 controls and the separators as they are; its own line breaks are no content.
  return json.replace(ACTIVE, (character) => (character === '\n' ? '\n' : escaped(character)));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
