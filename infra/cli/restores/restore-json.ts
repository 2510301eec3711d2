import type { Schemas } from '../api-client.ts';
import type { Move } from '../moves/move-json.ts';

/** A restore as the API returns it: a move to a place that a backup, or an earlier place, fills. */
export type Restore = Schemas['Restore'];

/** `backup 1234…`, `its rows of 2026-01-31T12:00:00.000Z`, `what restore 1234… replaced` */
export function restoredText({ mode, backupId, at, undoes }: Restore): string {
  if (at) return `its rows of ${at}`;
  return mode === 'undo' ? `what restore ${undoes} replaced` : `backup ${backupId}`;
}

/** For the view of moves. */
export function asMove(restore: Restore): Move {
  return { ...restore, moveId: restore.restoreId, target: {}, restores: restoredText(restore) };
}
