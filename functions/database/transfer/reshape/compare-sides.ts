import type pg from 'pg';
import { contentOf } from '../row-hash.ts';
import { ofTenant, rowsOf, type Side, type Sides } from './sides.ts';

/** What a table holds on both sides of a move. */
export interface TableContent {
  readonly name: string;
  /** At the source. */
  readonly rows: number;
  readonly targetRows: number;
  readonly sourceHash: string;
  readonly targetHash: string;
}

/** Counts and hashes of all tables on both sides, in one snapshot: the caller's transaction has one, and has entered. */
export async function compareSides(owner: pg.ClientBase, sides: Sides): Promise<TableContent[]> {
  const content = async (side: Side, table: Sides['tables'][number]) => {
    const { rows } = await owner.query<{ rows: string | number; hash: string }>(
      `SELECT ${contentOf(table, 'r')} FROM ${rowsOf(side, table, 'r')} WHERE ${ofTenant(side, 'r', sides.tenantId)}`,
    );
    return { rows: Number(rows[0]?.rows), hash: String(rows[0]?.hash) };
  };
  const contents: TableContent[] = [];
  for (const table of sides.tables) {
    const source = await content(sides.source, table);
    const target = await content(sides.target, table);
    contents.push({
      ...{ name: table.name, rows: source.rows, targetRows: target.rows },
      ...{ sourceHash: source.hash, targetHash: target.hash },
    });
  }
  return contents;
}

export function isEqual({ rows, targetRows, sourceHash, targetHash }: TableContent): boolean {
  return rows === targetRows && sourceHash === targetHash;
}
