/**
 * Characters that a terminal or a log viewer interprets: C0 and C1 controls, DEL, line and paragraph separators, and
 * those that reverse the direction of text.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern matches control characters.
const ACTIVE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const NAMES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Stored text in a form that is safe on a terminal: interpreted characters are escaped. */
export function shownText(text: string): string {
  return text.replace(ACTIVE, (character) => NAMES[character] ?? escaped(character));
}

/** At most that many characters of a text, for a column of a list; what is left out is an ellipsis. */
export function abridged(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`;
}

/** JSON of a value that is safe on any terminal; it parses to the same value. */
export function shownJson(value: unknown): string {
  const json = JSON.stringify(value, null, 2);
  // JSON.stringify does not escape DEL, the C1 controls and the separators; its own line breaks are not content.
  return json.replace(ACTIVE, (character) => (character === '\n' ? '\n' : escaped(character)));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `1.3 GB`, in powers of 1000. */
export function bytesText(bytes: number): string {
  let unit = 0;
  let amount = bytes;
  while (amount >= 999.95 && unit < BYTE_UNITS.length - 1) {
    amount /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** `12,345` */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 row`, `2 rows` */
export function counted(count: number, singular: string): string {
  return `${countText(count)} ${singular}${count === 1 ? '' : 's'}`;
}

/** `12.3 s`, `2 min 03 s`, `1 h 05 min` */
export function durationText(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  return `${Math.floor(whole / 3_600)} h ${padded(Math.floor((whole % 3_600) / 60))} min`;
}

/** `12.9 ms`; longer pauses are in milliseconds too. */
export function pauseText(ms: number): string {
  return `${ms < 100 ? ms.toFixed(1) : countText(Math.round(ms))} ms`;
}

function padded(number: number): string {
  return String(number).padStart(2, '0');
}

const CELLS = 20;

/** `[████░░░░░░░░░░░░░░░░]  20%` @param share 0 to 1 */
export function progressBar(share: number): string {
  const filled = Math.floor(share * CELLS);
  const percent = String(Math.floor(share * 100)).padStart(3);
  return `[${'█'.repeat(filled)}${'░'.repeat(CELLS - filled)}] ${percent}%`;
}
