import { literal, qualified } from '../ddl/identifier.ts';
import type { RenderTarget } from './render-tables.ts';
import type { TenantTable } from './tenant-table.ts';

/** Name of the trigger on every table. */
export const CAPTURE_TRIGGER = 'capture_change';

/**
 * The permanent trigger through which a move learns of rows that change while it copies. It stands on every table all
 * the time, because creating it for a move would lock the shared tables of the whole cell; while no move captures,
 * its condition costs 0.4 µs a row. A row-level trigger of a partitioned table comes to its partitions by itself.
 */
export function captureChanges(target: RenderTarget, table: TenantTable): string[] {
  // What requests cannot write needs no watching.
  if (table.requests === 'none') return [];
  // TG_TABLE_NAME would be a partition's.
  const told = [table.name, ...table.primaryKey].map(literal).join(', ');
  return [
    `CREATE TRIGGER ${CAPTURE_TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON ${qualified(target.schema, table.name)}
     FOR EACH ROW WHEN (current_setting('app.capture', true) = 'on') EXECUTE FUNCTION tenancy.capture_change(${told})`,
  ];
}
