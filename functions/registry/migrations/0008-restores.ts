/**
 * Registry schema version 8: restores.
 *
 * A restore is a move whose target is filled from a backup: it has a row of `tenant_moves`, with hops like any other, so
 * that claims, recovery, reports and "one at a time" hold for both. `restore` says what is restored; `filling` says, for
 * each hop, what its target is filled from instead of the rows at its source.
 */
export const restoreColumns: readonly string[] = [
  "ALTER TABLE tenant_moves ADD COLUMN restore jsonb CHECK (jsonb_typeof(restore) = 'object')",
  "ALTER TABLE tenant_move_hops ADD COLUMN filling jsonb CHECK (jsonb_typeof(filling) = 'object')",
  // A copy of another tenant, for support or tests: it is neither promoted nor billed.
  'ALTER TABLE tenants ADD COLUMN clone_of uuid',
  "ALTER TABLE tenants ADD COLUMN last_drill jsonb CHECK (jsonb_typeof(last_drill) = 'object')",
  'CREATE INDEX idx_tenant_moves_restores ON tenant_moves (tenant_id, started_at, move_id) WHERE restore IS NOT NULL',
];
