import type pg from 'pg';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import {
  updateSharedTables,
  updateTenantSchema,
} from '../../functions/database/provisioning/update-target.ts';
import type { TenantMigration } from '../../functions/database/tables/tenant-migrations.ts';
import { isPresentAt, type TenantTable } from '../../functions/database/tables/tenant-table.ts';
import type { TestDatabase, TestTenant } from '../test-database.ts';

interface ColumnFacts {
  readonly type: string;
  /** A row can be inserted without it. */
  readonly optional: boolean;
}
type Catalogue = ReadonlyMap<string, ReadonlyMap<string, ColumnFacts>>;

/**
 * What the code of the version before does not survive, and what breaks the code itself: runs the migrations one by one
 * on the tables of a Starter and of a Business tenant, and compares the catalogue before and behind each.
 * @param from the version that the tenant's tables have.
 * @returns one line for each offence.
 */
export async function offences(
  database: TestDatabase,
  tenant: TestTenant,
  {
    tables,
    migrations,
    from,
  }: { tables: readonly TenantTable[]; migrations: readonly TenantMigration[]; from: number },
): Promise<string[]> {
  const owner = await database.connect('owner');
  const found = new Set<string>(definitionOffences(tables));
  for (let version = from + 1; version <= migrations.length; version++) {
    const release = { ...thisRelease, schemaVersion: version, migrations: migrations.slice(0, version) };
    const before = [await read(owner, 'shared'), await read(owner, tenant.schemaName)];
    await updateSharedTables(owner, { starterRole: 'strata_starter', relocating: [] }, release);
    await updateTenantSchema(owner, tenant, release);
    const after = [await read(owner, 'shared'), await read(owner, tenant.schemaName)];
    for (const side of [0, 1] as const) {
      for (const line of changeOffences(before[side]!, after[side]!, tables, version)) found.add(line);
      for (const line of missingOffences(after[side]!, tables, version)) found.add(line);
    }
  }
  await owner.end();
  return [...found].sort();
}

function definitionOffences(tables: readonly TenantTable[]): string[] {
  return tables.flatMap((table) =>
    Object.entries(table.columns).flatMap(([name, { spec }]) => {
      const at = `${table.name}.${name}`;
      const optional = spec.nullable || spec.defaultSql !== undefined;
      return [
        ...(spec.until !== undefined && spec.until <= (spec.since ?? 1)
          ? [`${at} is dropped before it is there`]
          : []),
        ...(spec.until !== undefined && !optional
          ? [`${at} has until, but no row can be inserted without it`]
          : []),
        ...(spec.until !== undefined && table.primaryKey.includes(name)
          ? [`${at} is part of the primary key`]
          : []),
        ...((spec.since ?? 1) > (table.since ?? 1) && !optional
          ? [`${at} is added NOT NULL without a default`]
          : []),
      ];
    }),
  );
}

function* changeOffences(
  before: Catalogue,
  after: Catalogue,
  tables: readonly TenantTable[],
  version: number,
): Generator<string> {
  for (const [table, columns] of before) {
    const definition = tables.find(({ name }) => name === table);
    if (!definition) continue;
    const now = after.get(table);
    if (!now) {
      if (definition.until !== version)
        yield `version ${version} drops or renames ${table}, which the code still uses`;
      continue;
    }
    for (const [name, facts] of columns) {
      const left = now.get(name);
      if (!left) {
        if (definition.columns[name]?.spec.until !== version)
          yield `version ${version} drops or renames ${table}.${name}, which the code still uses`;
      } else if (left.type !== facts.type) yield `version ${version} changes the type of ${table}.${name}`;
      else if (facts.optional && !left.optional)
        yield `version ${version} makes ${table}.${name} NOT NULL without a default`;
    }
    for (const [name, { optional }] of now)
      if (!columns.has(name) && !optional)
        yield `version ${version} adds ${table}.${name} NOT NULL without a default`;
  }
}

/** The definition says that targets of the version have it. */
function* missingOffences(
  after: Catalogue,
  tables: readonly TenantTable[],
  version: number,
): Generator<string> {
  for (const table of tables.filter((each) => isPresentAt(each, version))) {
    const columns = after.get(table.name);
    if (!columns) yield `version ${version} does not create ${table.name}`;
    for (const [name, { spec }] of Object.entries(table.columns))
      if (columns && isPresentAt(spec, version) !== columns.has(name))
        yield `version ${version} and the definition of ${table.name}.${name} differ`;
  }
}

async function read(owner: pg.Client, schema: string): Promise<Catalogue> {
  const { rows } = await owner.query<ColumnFacts & { table: string; name: string }>(
    `SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
            NOT a.attnotnull OR a.atthasdef AS optional
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`,
    [schema],
  );
  const catalogue = new Map<string, Map<string, ColumnFacts>>();
  for (const { table, name, ...facts } of rows)
    catalogue.set(table, (catalogue.get(table) ?? new Map()).set(name, facts));
  return catalogue;
}
