import type { Schemas } from '../api-client.ts';
import type { Move } from '../moves/move-json.ts';

/** A restore as the API returns it: a move to a place that is filled from a backup or from an earlier place. */
export type Restore = Schemas['Restore'];

/** `backup 1234…`, `its rows of 2026-01-31T12:00:00.000Z`, or `rows before restore 1234…`. */
export function restoredText({ mode, backupId, at, undoes }: Restore): string {
  if (at) return `its rows of ${at}`;
  return mode === 'undo' ? `rows before restore ${undoes}` : `backup ${backupId}`;
}

/** Converts a restore for the view of moves. */
export function asMove(restore: Restore): Move {
  return { ...restore, moveId: restore.restoreId, target: {}, restores: restoredText(restore) };
}
