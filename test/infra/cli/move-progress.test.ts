import { describe, expect, test } from 'vitest';
import { moveProgress, moveReport, phaseChanges, shareDone } from '../../../infra/cli/moves/move-progress.ts';
import { bytesText, durationText, pauseText } from '../../../infra/cli/shown-text.ts';
import { aMove, endedMove, MOVE_ID, phase, STARTED } from './api-peer.ts';

const now = Date.parse(STARTED) + 4_000;
const view = (move = aMove(), width = 120) =>
  moveProgress(move, { tenant: 'globex', now, width }).map(({ text }) => text);

const copying = phase('copy', {
  status: 'running',
  finishedAt: null,
  startedAt: '2026-05-01T10:00:01.000Z',
  rowsDone: 500_000,
  rowsTotal: 2_000_000,
  bytesDone: 325_000_000,
  bytesTotal: 1_300_000_000,
  lagBytes: 12_300,
});

describe('the live view', () => {
  test('shows phases that are done, the running one with its bar, and those to come', () => {
    const move = aMove({ phases: [phase('credentials'), phase('prepare'), phase('proxy'), copying] });
    expect(view(move)).toEqual([
      `globex → business  running  4.0 s  ${MOVE_ID}`,
      '  reshape shared@us-1 → schema@us-1',
      '    ✔ credentials 2.5 s',
      '    ✔ prepare     2.5 s',
      '    ✔ proxy       2.5 s',
      '    ▸ copy        [█████░░░░░░░░░░░░░░░]  25%  3.0 s  500,000 of 2,000,000 rows  325.0 MB of 1.3 GB  lag 12.3 kB',
      '    · index',
      '    · catch-up',
      '    · cut-over',
      '    · compare',
      '    · settle',
    ]);
  });

  test('names the pause while there is one', () => {
    expect(view(aMove({ currentPauseMs: 13.25 }))).toContain('  writes pause for 13.3 ms');
    expect(view(aMove({ currentPauseMs: null })).join()).not.toContain('pause');
  });

  test('says that an abort was asked for', () => {
    expect(view(aMove({ abortRequestedAt: STARTED }))[0]).toContain('running, abort requested');
  });

  test('shows each hop with its own phases', () => {
    const [reshape] = aMove().plan;
    const relocate = {
      hop: 1,
      kind: 'relocate' as const,
      from: reshape!.to,
      to: { isolationModel: 'dedicated' as const, cellId: null, region: 'us' },
    };
    const shown = view(
      aMove({ plan: [reshape!, relocate], phases: [phase('settle'), phase('launch', { hop: 1 })] }),
    );
    expect(shown.slice(1)).toEqual([
      '  reshape shared@us-1 → schema@us-1',
      '    ✔ settle      2.5 s',
      '  relocate schema@us-1 → dedicated@us',
      '    ✔ launch      2.5 s',
      ...['bootstrap', 'prepare', 'copy', 'index', 'catch-up', 'cut-over', 'compare', 'settle'].map(
        (name) => `    · ${name}`,
      ),
    ]);
  });

  test('of an ended move stands still: its time is its own, nothing is to come, an unfinished phase is crossed', () => {
    const failed = aMove({
      status: 'failed',
      finishedAt: '2026-05-01T10:00:03.000Z',
      phases: [phase('copy', { status: 'running', finishedAt: null })],
    });
    const shown = view(failed);
    expect(shown[0]).toContain('failed  3.0 s');
    expect(shown.slice(2)).toEqual([expect.stringMatching(/^ {4}✘ copy/)]);
  });

  test('never wraps', () => {
    const lines = view(aMove({ phases: [copying] }), 40);
    expect(lines.every((line) => line.length < 40)).toBe(true);
    expect(lines.some((line) => line.endsWith('…'))).toBe(true);
  });
});

describe('the share that is done', () => {
  test.each([
    [{ bytesDone: 25, bytesTotal: 100, rowsDone: 90, rowsTotal: 100 }, 0.25],
    [{ rowsDone: 90, rowsTotal: 100 }, 0.9],
    // A table that grows while it is copied.
    [{ rowsDone: 110, rowsTotal: 100 }, 1],
    [{ rowsDone: 5, rowsTotal: 0 }, undefined],
    [{}, undefined],
  ])('of %j is %j', (figures, share) => {
    expect(shareDone(phase('copy', figures))).toBe(share);
  });
});

test('changes are told once each', () => {
  const begun = aMove({ phases: [phase('prepare'), copying] });
  expect(phaseChanges(undefined, begun)).toEqual(['prepare: begun', 'prepare: done in 2.5 s', 'copy: begun']);
  expect(phaseChanges(begun, begun)).toEqual([]);
  const copied = aMove({
    phases: [
      phase('prepare'),
      phase('copy', { startedAt: copying.startedAt, rowsDone: 2_000_000, rowsTotal: 2_000_000, pauseMs: 7 }),
    ],
  });
  expect(phaseChanges(begun, copied)).toEqual(['copy: done in 1.5 s, 2,000,000 rows, pause 7.0 ms']);
});

test('the phase that builds indexes counts pieces, and is silent about them once it is over', () => {
  const index = { startedAt: copying.startedAt, rowsDone: 10, rowsTotal: 40 };
  const building = aMove({ phases: [phase('index', { ...index, status: 'running', finishedAt: null })] });
  expect(view(building)).toContainEqual(expect.stringMatching(/▸ index .* 25% .*10 of 40 pieces$/));
  const built = aMove({ phases: [phase('index', index)] });
  expect(phaseChanges(building, built)).toEqual(['index: done in 1.5 s']);
});

describe('the report', () => {
  test('of a move that succeeded', () => {
    expect(moveReport(endedMove('succeeded'))).toBe(
      'succeeded in 12.3 s, writes paused 12.9 ms, 1,234 rows, 56.8 kB, 3 requests retried',
    );
  });

  test('of one that has none', () => {
    const move = { ...endedMove('failed', 'The sides differ.'), report: null };
    expect(moveReport(move)).toBe('failed in 12.3 s: The sides differ.');
  });
});

test('amounts', () => {
  expect([0, 999, 1_000, 999_949, 999_950, 1.3e9, 5e15].map(bytesText)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '999.9 kB',
    '1.0 MB',
    '1.3 GB',
    '5000.0 TB',
  ]);
  expect([0, 59.9, 59.96, 125, 3_900].map(durationText)).toEqual([
    '0.0 s',
    '59.9 s',
    '1 min 00 s',
    '2 min 05 s',
    '1 h 05 min',
  ]);
  expect([0.04, 12.94, 99.96, 1_234.5].map(pauseText)).toEqual(['0.0 ms', '12.9 ms', '100.0 ms', '1,235 ms']);
});
