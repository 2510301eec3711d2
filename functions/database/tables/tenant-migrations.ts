import { versionOf } from '../ddl/migration-history.ts';
import {
  addColumn,
  addIndexes,
  addRules,
  captureChanges,
  createForeignKeys,
  createIndexes,
  createTable,
  dropColumn,
  dropIndexes,
  dropRules,
  dropTable,
  grantRows,
  isolateTenants,
  type RenderTarget,
} from './render-tables.ts';
import { repairedForRules } from './repaired-rows.ts';
import { TENANT_SCHEMA_VERSION } from './schema-version.ts';
import { createSkillsSummary } from './skills-summary.ts';
import { type TenantTable, tableAtVersion } from './tenant-table.ts';
import { tenantTables } from './tenant-tables.ts';

/** One migration of the tenant tables, written once for all three isolation models. */
export interface TenantMigration {
  /** Begins with its number, four digits: migrations run in the order of their names. */
  readonly name: string;
  /** The statements for one target. They run in one transaction, as the tables' owner. */
  up(target: RenderTarget): string[];
}

/** The version that gave the tables of version 1 their triggers for change capture. Tables of later versions begin with them. */
export const CAPTURE_SINCE = 2;

/**
 * Released migrations never change: the first renders version 1 of the definition, whatever is added to it later. A
 * version that adds or drops uses `changesOf(n)`; anything else (a backfill) adds its own statements.
 */
export const tenantMigrations: readonly TenantMigration[] = [
  { name: '0001-tenant-tables', up: changesOf(1) },
  { name: '0002-change-capture', up: captureOfVersion(1) },
  { name: '0003-caseless-addresses', up: changesOf(3) },
  {
    name: '0004-rules-and-sorted-lists',
    up: (target) => [...repairedForRules(target), ...changesOf(4)(target)],
  },
  { name: '0005-skills-summary', up: createSkillsSummary },
  { name: '0006-audit-chain', up: changesOf(6) },
];

// So that a deployment fails here instead of requests later.
if (versionOf(tenantMigrations.at(-1)?.name ?? '') !== TENANT_SCHEMA_VERSION)
  throw new TypeError('TENANT_SCHEMA_VERSION is not the number of the last migration');

/** The migrations up to that schema version. */
export function migrationsUpTo(version: number): readonly TenantMigration[] {
  return tenantMigrations.slice(0, version);
}

/**
 * The statements that bring a target from schema version `version - 1` to `version`, derived from the definition: what
 * has `since` = `version` is created, what has `until` = `version` is dropped.
 */
export function changesOf(
  version: number,
  tables: readonly TenantTable[] = tenantTables,
): TenantMigration['up'] {
  return (target) => {
    const known = tables.flatMap((table) => tableAtVersion(table, version) ?? []);
    const created = known.filter(({ since = 1 }) => since === version);
    const extended = known.filter((table) => !created.includes(table));
    const isolated = new Set(extended.map(({ name }) => name));
    return [
      ...created.flatMap((table) => createTable(target, table)),
      ...extended.flatMap((table) => addColumns(target, table, version)),
      ...created.flatMap((table) => createForeignKeys(target, table, isolated)),
      ...extended.flatMap((table) =>
        createForeignKeys(target, { ...table, foreignKeys: keysOfVersion(table, version) }, isolated),
      ),
      ...created.flatMap((table) => createIndexes(target, table)),
      ...extended.flatMap((table) =>
        addIndexes(target, { ...table, indexes: table.indexes.filter(({ since }) => since === version) }),
      ),
      ...extended.flatMap((table) =>
        addRules(target, { ...table, rules: table.rules.filter(({ since }) => since === version) }),
      ),
      ...created.flatMap((table) => isolateTenants(target, table)),
      ...created.flatMap((table) => grantRows(target, table)),
      ...(version > CAPTURE_SINCE ? created.flatMap((table) => captureChanges(target, table)) : []),
      ...dropsOf(target, tables, version),
    ];
  };
}

function dropsOf(target: RenderTarget, tables: readonly TenantTable[], version: number): string[] {
  const known = tables.flatMap((table) => tableAtVersion(table, version - 1) ?? []);
  const dropped = known.filter(({ until }) => until === version);
  const kept = known.filter((table) => !dropped.includes(table));
  return [
    ...kept.flatMap((table) =>
      dropIndexes(target, { ...table, indexes: table.indexes.filter(({ until }) => until === version) }),
    ),
    ...kept.flatMap((table) =>
      dropRules(target, { ...table, rules: table.rules.filter(({ until }) => until === version) }),
    ),
    ...kept.flatMap((table) =>
      Object.entries(table.columns)
        .filter(([, { spec }]) => spec.until === version)
        .map(([name]) => dropColumn(target, table, name)),
    ),
    ...dropped.toReversed().map((table) => dropTable(target, table)),
  ];
}

function captureOfVersion(version: number): TenantMigration['up'] {
  return (target) =>
    tenantTables.flatMap((table) => {
      const known = tableAtVersion(table, version);
      return known ? captureChanges(target, known) : [];
    });
}

function addColumns(target: RenderTarget, table: TenantTable, version: number): string[] {
  return columnsOfVersion(table, version).flatMap((name) => addColumn(target, table, name));
}

function keysOfVersion(table: TenantTable, version: number): TenantTable['foreignKeys'] {
  const added = columnsOfVersion(table, version);
  return table.foreignKeys.filter(({ column }) => added.includes(column));
}

function columnsOfVersion({ columns }: TenantTable, version: number): string[] {
  return Object.keys(columns).filter((name) => columns[name]?.spec.since === version);
}
