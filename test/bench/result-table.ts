/** One line of the table. `ratio` is by which factor `measured` stands to `against`, or the other way where told. */
export interface Result {
  readonly what: string;
  readonly measured: string;
  readonly against: string;
  readonly ratio: string;
  readonly target: string;
  readonly met: '' | 'yes' | 'no';
}

export const ms = (value: number) => `${value < 10 ? value.toFixed(3) : value.toFixed(1)} ms`;
/** Digits enough to see on which side of a target it is. */
export const times = (factor: number) => `${factor.toFixed(factor < 2 ? 3 : 2)}×`;

export function atMost(factor: number, limit: number | undefined): Pick<Result, 'ratio' | 'target' | 'met'> {
  if (limit === undefined) return { ratio: times(factor), target: '', met: '' };
  return { ratio: times(factor), target: `≤ ${limit}×`, met: factor <= limit ? 'yes' : 'no' };
}

export function fasterBy(
  factor: number,
  limit: number | undefined,
): Pick<Result, 'ratio' | 'target' | 'met'> {
  if (limit === undefined) return { ratio: `${times(factor)} faster`, target: '', met: '' };
  return {
    ratio: `${times(factor)} faster`,
    target: `≥ ${limit}× faster`,
    met: factor >= limit ? 'yes' : 'no',
  };
}

/** As a table of Markdown, which is also what the console shows. @param measured heading of what was measured */
export function table(results: readonly Result[], measured = 'p50'): string {
  const rows = [
    ['', measured, 'against', 'ratio', 'target', 'met'],
    ...results.map(({ what, measured, against, ratio, target, met }) => [
      what,
      measured,
      against,
      ratio,
      target,
      met,
    ]),
  ];
  const widths =
    rows[0]?.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}
