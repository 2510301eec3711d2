import { HistoryDiverged } from '../errors.ts';

/** The number at the beginning of a migration's name: the version after that migration. */
export function versionOf(name: string): number {
  const [digits] = /^\d{4}/.exec(name) ?? [];
  if (digits === undefined) throw new TypeError('the name of a migration begins with four digits');
  return Number(digits);
}

/**
 * The migrations that a target lacks, in their order. None when its history is ahead of the code, which happens after a
 * rollback of a deployment: the older code works with the newer tables.
 * @param executed names of the migrations that have run there.
 * @throws {HistoryDiverged} neither history is the beginning of the other.
 */
export function missingMigrations<Migration extends { readonly name: string }>(
  executed: readonly string[],
  known: readonly Migration[],
): readonly Migration[] {
  for (const [index, name] of [...executed].sort().entries()) {
    const ours = known[index];
    if (ours !== undefined && ours.name !== name) throw new HistoryDiverged(name, ours.name);
  }
  return known.slice(executed.length);
}

/** The version of the target with that history: 0 when it is empty. */
export function versionAfter(executed: readonly string[]): number {
  const last = [...executed].sort().at(-1);
  return last === undefined ? 0 : versionOf(last);
}
