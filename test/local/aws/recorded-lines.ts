import { existsSync, readFileSync } from 'node:fs';

/** What functions with the handler `record` wrote into their RECORD_FILE, in order. */
export function recordedLines<T = Record<string, unknown>>(file: string): T[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
