import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PATH = join(import.meta.dirname, '../../docs/benchmarks.md');

/** The commands that write a part of docs/benchmarks.md each. */
export type BenchCommand = 'bench:request' | 'bench:move' | 'bench:rollout' | 'bench:backup' | 'bench:api';

/**
 * Replaces what stands between the marks of one command and leaves the rest as it is.
 * @throws where the document has no such marks.
 */
export function refreshDocument(command: BenchCommand, content: string): void {
  const [begin, end] = [`<!-- ${command} -->\n`, `\n<!-- ${command} end -->`];
  const text = readFileSync(PATH, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no marks of ${command}`);
  writeFileSync(PATH, `${text.slice(0, from + begin.length)}\n${content.trim()}\n${text.slice(to)}`);
}
