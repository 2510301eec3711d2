import { identifier, literal, qualified } from '../ddl/identifier.ts';
import type { AnyColumn, ForeignKey, IndexedRows, RowRule, TenantTable } from './tenant-table.ts';

/**
 * Where tables are rendered: `isolated` is a tenant's own schema, in a cell or in a dedicated database; `shared` is the
 * schema of all Starter tenants, where every key begins with the tenant.
 */
export interface RenderTarget {
  readonly model: 'isolated' | 'shared';
  readonly schema: string;
  /** The login role of requests. */
  readonly requestRole: string;
}

/**
 * The statements that create a table with its keys, checks and partitions. Constraint names are the same in both
 * variants, so that `ON CONFLICT ON CONSTRAINT` and error mapping are too. Month partitions other than the default one
 * are made by `ensureMonthPartitions`, because they depend on the date.
 * @param keys the keys to create; a copy is faster when some of them are built afterwards.
 */
export function createTable(
  target: RenderTarget,
  table: TenantTable,
  { keys = 'all' }: { readonly keys?: 'all' | 'primary' | 'none' } = {},
): string[] {
  const shared = target.model === 'shared';
  const lines = [
    ...(shared ? ['"tenant_id" uuid NOT NULL DEFAULT tenancy.current_tenant()'] : []),
    ...Object.entries(table.columns).map(([name, { spec }]) => columnDefinition(name, spec)),
    ...[
      ...(keys === 'none' ? [] : [primaryKey(target, table)]),
      ...(keys === 'all' ? uniqueKeys(target, table) : []),
    ].map(({ name, definition }) => `CONSTRAINT ${name} ${definition}`),
    ...Object.entries(table.columns).flatMap(([name, column]) => allowedValues(table, name, column)),
    ...table.rules.map((rule) => rowRule(table, rule)),
  ];
  const name = qualified(target.schema, table.name);
  const partitioning = shared ? partitionClause(table) : '';
  return [
    `CREATE TABLE ${name} (\n  ${lines.join(',\n  ')}\n)${partitioning}`,
    ...(shared ? createPartitions(target, table) : []),
  ];
}

/** A constraint's quoted name and its definition. */
interface Key {
  readonly name: string;
  readonly definition: string;
}

export function primaryKey(target: RenderTarget, table: TenantTable): Key {
  return {
    name: identifier(`${table.name}_pkey`),
    definition: `PRIMARY KEY ${keyColumns(target, primaryKeyColumns(target, table))}`,
  };
}

/** Unique keys besides the primary one. */
export function uniqueKeys(target: RenderTarget, table: TenantTable): Key[] {
  return table.unique.map((columns) => ({
    name: identifier(`${table.name}_${columns.join('_')}_key`),
    definition: `UNIQUE ${keyColumns(target, columns)}`,
  }));
}

/** The last step for new tables: a foreign key cannot be added when policies hide the rows. */
export function isolateTenants(target: RenderTarget, table: TenantTable): string[] {
  if (target.model !== 'shared') return [];
  return [table.name, ...partitionNames(table)].flatMap((name) =>
    tenantIsolation(qualified(target.schema, name)),
  );
}

export function createIndexes(target: RenderTarget, table: TenantTable): string[] {
  return table.indexes.map((index) => {
    const name = identifier(indexName(target, table, index));
    const columns = index.lower
      ? keyColumns(target, index.columns, (column) => `lower(${identifier(column)})`)
      : keyColumns(target, index.columns);
    const rows = index.where ? ` WHERE ${indexedRows(index.where)}` : '';
    const kind = index.unique ? 'UNIQUE INDEX' : 'INDEX';
    return `CREATE ${kind} ${name} ON ${qualified(target.schema, table.name)} ${columns}${rows}`;
  });
}

/** The condition of a partial index. @param alias of the row, when the condition is part of a query. */
export function indexedRows(where: IndexedRows, alias?: string): string {
  const column = `${alias ? `${alias}.` : ''}${identifier(where.column)}`;
  return 'is' in where ? `${column} IS ${where.is}` : `${column} = ${literal(where.equals)}`;
}

/** For a migration of an existing table. When there are many rows, `buildNewIndexes` has built the indexes before. */
export function addIndexes(target: RenderTarget, table: TenantTable): string[] {
  return createIndexes(target, table).map((statement) =>
    statement.replace(/^CREATE (UNIQUE )?INDEX/, '$& IF NOT EXISTS'),
  );
}

export function indexName(
  { model }: RenderTarget,
  table: TenantTable,
  { name }: TenantTable['indexes'][number],
): string {
  return `idx_${table.name}_${model === 'shared' ? 'tenant_' : ''}${name}`;
}

/**
 * Separate from `createTable`: a table may refer to itself or to a later one, and a move adds foreign keys after its
 * copy.
 * @param isolated names of the involved tables whose policies are already in force.
 */
export function createForeignKeys(
  target: RenderTarget,
  table: TenantTable,
  isolated: ReadonlySet<string> = new Set(),
): string[] {
  const statements = table.foreignKeys.map((key) => {
    const name = identifier(foreignKeyName(table, key));
    const references = qualified(target.schema, key.references);
    return [
      `ALTER TABLE ${qualified(target.schema, table.name)} ADD CONSTRAINT ${name}`,
      `FOREIGN KEY ${keyColumns(target, [key.column])}`,
      `REFERENCES ${references}${onDelete(target, key)}`,
    ].join(' ');
  });
  if (target.model !== 'shared') return statements;
  const involved = new Set([table.name, ...table.foreignKeys.map(({ references }) => references)]);
  const forced = [...involved].filter((name) => isolated.has(name));
  return overAllTenants(
    forced.map((name) => qualified(target.schema, name)),
    statements,
  );
}

/** Of the constraint. */
export const foreignKeyName = (table: Pick<TenantTable, 'name'>, { column }: { readonly column: string }) =>
  `${table.name}_${column}_fkey`;

/** For a migration: adds one column of the definition, with its check, to an existing table. */
export function addColumn(target: RenderTarget, table: TenantTable, columnName: string): string[] {
  const column = table.columns[columnName];
  if (!column) throw new TypeError(`the definition has no column ${table.name}.${columnName}`);
  const name = qualified(target.schema, table.name);
  return [
    `ALTER TABLE ${name} ADD COLUMN ${columnDefinition(columnName, column.spec)}`,
    ...allowedValues(table, columnName, column).map((check) => `ALTER TABLE ${name} ADD ${check}`),
  ];
}

/** For a migration: adds the table's rules, which every existing row has to satisfy. */
export function addRules({ schema }: RenderTarget, table: TenantTable): string[] {
  return table.rules.map(
    (rule) => `ALTER TABLE ${qualified(schema, table.name)} ADD ${rowRule(table, rule)}`,
  );
}

/** For a migration: drops the table's rules. */
export function dropRules({ schema }: RenderTarget, table: TenantTable): string[] {
  return table.rules.map(
    (rule) => `ALTER TABLE ${qualified(schema, table.name)} DROP CONSTRAINT ${ruleName(table, rule)}`,
  );
}

/** For a migration: dropping the column drops its check, its foreign key and the indexes that contain it. */
export function dropColumn({ schema }: RenderTarget, { name }: TenantTable, columnName: string): string {
  return `ALTER TABLE ${qualified(schema, name)} DROP COLUMN ${identifier(columnName)}`;
}

/** For a migration: the table's indexes. */
export function dropIndexes(target: RenderTarget, table: TenantTable): string[] {
  return table.indexes.map(
    (index) => `DROP INDEX ${qualified(target.schema, indexName(target, table, index))}`,
  );
}

/** For a migration. PostgreSQL refuses it while another table refers to the table. */
export function dropTable({ schema }: RenderTarget, { name }: TenantTable): string {
  return `DROP TABLE ${qualified(schema, name)}`;
}

/**
 * Rights of requests on the rows. Never TRUNCATE, because it bypasses the policies. No rights on partitions, because
 * rights on the parent suffice.
 */
export function grantRows({ schema, requestRole }: RenderTarget, table: TenantTable): string[] {
  const privileges = {
    full: 'SELECT, INSERT, UPDATE, DELETE',
    append: 'SELECT, INSERT',
    read: 'SELECT',
    none: undefined,
  }[table.requests ?? 'full'];
  const name = qualified(schema, table.name);
  return privileges ? [`GRANT ${privileges} ON ${name} TO ${identifier(requestRole)}`] : [];
}

function columnDefinition(name: string, spec: AnyColumn['spec']): string {
  const fallback = spec.defaultSql === undefined ? '' : ` DEFAULT ${spec.defaultSql}`;
  return `${identifier(name)} ${spec.type}${spec.nullable ? '' : ' NOT NULL'}${fallback}`;
}

function allowedValues(table: TenantTable, name: string, { spec }: AnyColumn): string[] {
  if (!spec.allowedValues) return [];
  const values = spec.allowedValues.map(literal).join(', ');
  return [
    `CONSTRAINT ${identifier(`${table.name}_${name}_check`)} CHECK (${identifier(name)} IN (${values}))`,
  ];
}

function rowRule(table: TenantTable, rule: RowRule): string {
  return `CONSTRAINT ${ruleName(table, rule)} CHECK (${rule.rule})`;
}

const ruleName = (table: TenantTable, { name }: RowRule) => identifier(`${table.name}_${name}_check`);

function keyColumns(
  { model }: RenderTarget,
  columns: readonly string[],
  render: (column: string) => string = identifier,
): string {
  const tenant = model === 'shared' ? [identifier('tenant_id')] : [];
  return `(${[...tenant, ...columns.map(render)].join(', ')})`;
}

function primaryKeyColumns(
  { model }: RenderTarget,
  { primaryKey, sharedPartitioning }: TenantTable,
): readonly string[] {
  // PostgreSQL requires the partition key in every unique key.
  return model === 'shared' && sharedPartitioning?.by === 'month'
    ? [...primaryKey, sharedPartitioning.column]
    : primaryKey;
}

function onDelete({ model }: RenderTarget, { column, onDelete: action }: ForeignKey): string {
  if (action === 'cascade') return ' ON DELETE CASCADE';
  // Without the column list the shared variant would set tenant_id to NULL as well.
  if (action === 'set null')
    return ` ON DELETE SET NULL${model === 'shared' ? ` (${identifier(column)})` : ''}`;
  return '';
}

function partitionClause({ sharedPartitioning: partitioning }: TenantTable): string {
  if (!partitioning) return '';
  return partitioning.by === 'tenant'
    ? ' PARTITION BY HASH ("tenant_id")'
    : ` PARTITION BY RANGE (${identifier(partitioning.column)})`;
}

function createPartitions({ schema }: RenderTarget, table: TenantTable): string[] {
  const names = partitionNames(table);
  return names.map((name, remainder) => {
    const bounds =
      table.sharedPartitioning?.by === 'tenant'
        ? `FOR VALUES WITH (MODULUS ${names.length}, REMAINDER ${remainder})`
        : 'DEFAULT';
    return `CREATE TABLE ${qualified(schema, name)} PARTITION OF ${qualified(schema, table.name)} ${bounds}`;
  });
}

/** The partitions that every table starts with. */
function partitionNames({ name, sharedPartitioning }: TenantTable): string[] {
  if (!sharedPartitioning) return [];
  if (sharedPartitioning.by === 'month') return [`${name}_default`];
  return Array.from({ length: sharedPartitioning.partitions }, (_, remainder) => `${name}_p${remainder}`);
}

/** Name of the trigger on every table. */
export const CAPTURE_TRIGGER = 'capture_change';

/**
 * The permanent trigger that records, for a move, the rows that change while it copies. Every table always has it,
 * because creating it for a move would lock the shared tables of the whole cell; while no move captures, its condition
 * costs 0.4 µs a row. Partitions inherit a row-level trigger of their parent.
 */
export function captureChanges(target: RenderTarget, table: TenantTable): string[] {
  // Tables that requests cannot write need no capture.
  if (table.requests === 'none' || table.requests === 'read') return [];
  // TG_TABLE_NAME would be a partition's.
  const told = [table.name, ...table.primaryKey].map(literal).join(', ');
  return [
    `CREATE TRIGGER ${CAPTURE_TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON ${qualified(target.schema, table.name)}
     FOR EACH ROW WHEN (current_setting('app.capture', true) = 'on') EXECUTE FUNCTION tenancy.capture_change(${told})`,
  ];
}

/**
 * Row-level security of one shared table, given its qualified and quoted name.
 *
 * FORCE, so that it also applies to the tables' owner. The sub-select is planned as an InitPlan: `current_tenant()`
 * runs once per query instead of once per row, and raises when no tenant was entered. WITH CHECK, so that no row can be
 * written for another tenant. Partitions get the same although no role has rights on them directly.
 */
export function tenantIsolation(table: string): string[] {
  const own = 'tenant_id = (SELECT tenancy.current_tenant())';
  return [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
    `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
    `CREATE POLICY tenant_isolation_policy ON ${table} USING (${own}) WITH CHECK (${own})`,
  ];
}

/**
 * For migrations: runs `statements` that must see all tenants' rows of shared tables (the check of a new foreign key, a
 * backfill) as the owner. Without this they would raise, because no tenant was entered. The ALTERs lock the tables
 * until the transaction ends, and the policies apply to request roles throughout: FORCE concerns the owner only.
 *
 * @param tables qualified and quoted names.
 */
export function overAllTenants(tables: readonly string[], statements: readonly string[]): string[] {
  if (statements.length === 0) return [];
  return [
    ...tables.map((table) => `ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY`),
    ...statements,
    ...tables.map((table) => `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`),
  ];
}
