import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** A bundled module and those that it imports statically, directly or not: what loading it loads. */
export function staticModules(entry: string, seen = new Set<string>()): string[] {
  if (seen.has(entry)) return [];
  seen.add(entry);
  // A dynamic import has a parenthesis before its path.
  const imported = readFileSync(entry, 'utf8').matchAll(/(?:\bfrom|\bimport)\s*"(\.[^"]+)"/g);
  return [
    entry,
    ...[...imported].flatMap(([, path]) => staticModules(resolve(dirname(entry), path as string), seen)),
  ];
}
