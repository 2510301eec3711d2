import type { Move } from '../moves/move-json.ts';

/** A restore as the API returns it: a move to a place that a backup, or an earlier place, fills. */
export interface Restore extends Omit<Move, 'moveId' | 'target' | 'restores'> {
  restoreId: string;
  mode: 'replace' | 'clone' | 'undo';
  backupId: string | null;
  undoes: string | null;
  cloneOf: string | null;
  mask: boolean;
  /** Null until the swap, and for a clone. */
  discarded: {
    writes: number;
    latest: { at: string; actor: string | null; action: string; resourceId: string | null }[];
  } | null;
  canBeUndone: boolean;
}

/** `backup 1234…`, `restore 1234… undone` */
export function restoredText({ mode, backupId, undoes }: Restore): string {
  return mode === 'undo' ? `what restore ${undoes} replaced` : `backup ${backupId}`;
}

/** For the view of moves. */
export function asMove(restore: Restore): Move {
  return { ...restore, moveId: restore.restoreId, target: {}, restores: restoredText(restore) };
}
