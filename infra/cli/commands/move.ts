import { bodyOf, movePath, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../errors.ts';
import { type MovePlan, placeText } from '../moves/move-json.ts';
import { watchMove } from '../moves/watch-move.ts';
import type { Screen } from '../screen.ts';
import { bytesText, counted, durationText, pauseText, shownText } from '../shown-text.ts';
import { type Row, table } from '../table.ts';

const TIERS = ['starter', 'business', 'enterprise'] as const;

export const move: Command = {
  name: 'move',
  words: 'SLUG TIER|cell:ID|residency:KEY|size:SIZE',
  options: { size: 'SIZE' },
  flags: ['dry-run', 'force', 'watch'],
  summary: 'starts a move, or only plans it',
  async run({ words: [slug = '', target = ''], flags, options }, { api, screen }) {
    const dryRun = flags.has('dry-run');
    if (dryRun && flags.has('watch')) throw new UsageError('a dry run starts no move to watch');
    const targetSize = options.get('size');
    // The API refuses what is no size.
    const wanted = { ...readTarget(target), ...(targetSize ? { targetSize } : {}) } as Target;
    const client = await api();
    const answer = await bodyOf(
      client.operations.POST('/tenants/{tenantId}/moves', {
        params: { path: { tenantId: slug } },
        body: {
          ...wanted,
          ...(dryRun ? { dryRun } : {}),
          ...(flags.has('force') ? { force: true } : {}),
        },
      }),
    );
    if ('dryRun' in answer) return showPlan(answer, screen);
    const { moveId } = answer;
    screen.line(`move ${moveId} of ${slug} to ${target} has started`);
    if (!flags.has('watch')) {
      screen.line(`watch it with: strata watch ${slug} ${moveId}`);
      return true;
    }
    return watchMove(client, screen, { tenant: slug, path: movePath(slug, moveId) });
  },
};

type Target = Pick<
  Schemas['MovesCreateBody'],
  'targetTier' | 'targetCell' | 'targetResidency' | 'targetSize'
>;

/** @throws {UsageError} when it is neither tier, nor cell, nor residency, nor size */
export function readTarget(text: string): Target {
  const targetTier = TIERS.find((tier) => tier === text);
  if (targetTier) return { targetTier };
  const [, kind, name] = /^(cell|residency|size):(.+)$/.exec(text) ?? [];
  if (kind === 'cell' && name) return { targetCell: name };
  if (kind === 'residency' && name) return { targetResidency: name };
  if (kind === 'size' && name) return { targetSize: name as Target['targetSize'] & string };
  throw new UsageError(
    `"${text}" is not a target: give ${TIERS.join(', ')}, cell:ID, residency:KEY or size:SIZE`,
  );
}

/** @returns true when the move would be allowed */
function showPlan({ plan, sizes, estimate, forbidden }: MovePlan, screen: Screen): boolean {
  for (const hop of plan) screen.line(`${hop.kind} ${placeText(hop.from)} → ${placeText(hop.to)}`);
  for (const line of table(['table', 'rows', 'bytes'], sizeRows(sizes.tables))) screen.line(line);
  const amount = `${counted(sizes.rows, 'row')}, ${bytesText(sizes.bytes)}`;
  const effort = estimate
    ? `about ${durationText(estimate.seconds)}, writes paused for about ${pauseText(estimate.writePauseMs)}`
    : 'no estimate, because there is no move to make';
  screen.line(`${amount}: ${effort}`);
  for (const { rule, detail } of forbidden)
    screen.line(screen.paint('red', `forbidden (${rule}): ${shownText(detail)}`));
  return forbidden.length === 0;
}

/** The largest tables first; empty ones share one row. */
function sizeRows(tables: MovePlan['sizes']['tables']): Row[] {
  const row = (name: string, rows: number, bytes: number | null | undefined): Row => [
    name,
    rows,
    typeof bytes === 'number' ? bytesText(bytes) : null,
  ];
  const empty = tables.filter(({ rows }) => rows === 0);
  const emptyBytes = empty.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  return [
    ...tables
      .filter(({ rows }) => rows > 0)
      .sort((a, b) => b.rows - a.rows)
      .map(({ name, rows, bytes }) => row(name, rows, bytes)),
    ...(empty.length > 0 ? [row(`(${counted(empty.length, 'empty table')})`, 0, emptyBytes)] : []),
  ];
}
