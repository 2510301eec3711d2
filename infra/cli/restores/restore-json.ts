import type { Move } from '../moves/move-json.ts';

/** A restore as the API returns it: a move to a place that is filled from a backup or from an earlier place. */
export interface Restore extends Omit<Move, 'moveId' | 'target' | 'restores'> {
  restoreId: string;
  mode: 'replace' | 'clone' | 'undo';
  backupId: string | null;
  at: string | null;
  undoes: string | null;
  cloneOf: string | null;
  mask: boolean;
  /** null until the restore is committed, and for a clone. */
  discarded: {
    writes: number;
    latest: { at: string; actor: string | null; action: string; resourceId: string | null }[];
  } | null;
  canBeUndone: boolean;
}

/** `backup 1234…`, `its rows of 2026-01-31T12:00:00.000Z`, or `rows before restore 1234…`. */
export function restoredText({ mode, backupId, at, undoes }: Restore): string {
  if (at) return `its rows of ${at}`;
  return mode === 'undo' ? `rows before restore ${undoes}` : `backup ${backupId}`;
}

/** Converts a restore for the view of moves. */
export function asMove(restore: Restore): Move {
  return { ...restore, moveId: restore.restoreId, target: {}, restores: restoredText(restore) };
}
