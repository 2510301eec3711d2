/**
 * A statement of the application, adapted to a target that has an older version of the tables (or a newer one, which
 * has dropped something):
 *
 * - a missing column reads as null;
 * - a column that only the platform writes is left out of writes, and so is a null;
 * - any other value for a missing column is `SchemaUpgrading`, and a missing table or view is `TablesBehind`.
 *
 * It works on the query builder's tree, so it sees names in `sql.ref` and `sql.table`, but not those in the text of a
 * raw statement. A name that is not a reference, such as an alias, is `sql.id`.
 */
import {
  AliasNode,
  type ColumnNode,
  type ColumnUpdateNode,
  type CompiledQuery,
  IdentifierNode,
  type InsertQueryNode,
  type OperationNode,
  OperationNodeTransformer,
  PrimitiveValueListNode,
  RawNode,
  type ReferenceNode,
  type RootOperationNode,
  type SelectionNode,
  type SelectQueryNode,
  type UpdateQueryNode,
  ValueListNode,
  type ValueNode,
  ValuesNode,
} from 'kysely';
import { SchemaUpgrading, TablesBehind } from '../errors.ts';
import { tenantViews } from '../tables/skills-summary.ts';
import { type AnyColumn, isPresentAt, type TenantTable } from '../tables/tenant-table.ts';
import { tenantTables } from '../tables/tenant-tables.ts';
import { compileStatement, type Statement } from './tenant-sql.ts';

/**
 * The statement for a target of that schema version.
 * @throws {SchemaUpgrading} it needs something that the target does not have.
 */
export function compileOnTarget(statement: Statement<unknown>, version: number): CompiledQuery {
  const target = missingAtVersion(version);
  const node = target && (statement.toOperationNode?.() as RootOperationNode | undefined);
  return node ? compileStatement(statementOnTarget(node, target)) : statement.compile();
}

/** @throws {SchemaUpgrading} the statement needs something that the target does not have. */
export function statementOnTarget(node: RootOperationNode, target: TablesOnTarget): RootOperationNode {
  const named = [...namesOfTables(node)].flatMap((name) => target.get(name) ?? []);
  if (named.some(({ exists }) => !exists)) throw new TablesBehind('the target lacks a table');
  const missing = new Map(named.flatMap((table) => [...table.missing]));
  for (const { present } of named) for (const name of present) missing.delete(name);
  return missing.size === 0 ? node : new WithoutColumns(missing).transformNode(node);
}

function* namesOfTables(node: unknown): Generator<string> {
  if (typeof node !== 'object' || node === null) return;
  if (Array.isArray(node)) {
    for (const each of node) yield* namesOfTables(each);
    return;
  }
  const { kind, table } = node as { kind?: unknown; table?: { identifier?: IdentifierNode } };
  if (kind === 'ValueNode' || kind === 'PrimitiveValueListNode') return;
  if (kind === 'TableNode' && table?.identifier) yield table.identifier.name;
  else for (const value of Object.values(node)) yield* namesOfTables(value);
}

/** Columns are compared by name only: a name that another table of the statement has is not missing. */
class WithoutColumns extends OperationNodeTransformer {
  readonly #missing: ReadonlyMap<string, AnyColumn>;

  constructor(missing: ReadonlyMap<string, AnyColumn>) {
    super();
    this.#missing = missing;
  }

  protected override transformReference(node: ReferenceNode): ReferenceNode {
    const column = this.#missingColumn(node);
    return column ? (nullOf(column) as unknown as ReferenceNode) : super.transformReference(node);
  }

  /** Without an alias, the result would not have this member. */
  protected override transformSelection(node: SelectionNode): SelectionNode {
    const column = this.#missingColumn(node.selection);
    if (!column) return super.transformSelection(node);
    const name = nameOf(node.selection) as string;
    return { ...node, selection: AliasNode.create(nullOf(column), IdentifierNode.create(name)) };
  }

  protected override transformInsertQuery(node: InsertQueryNode): InsertQueryNode {
    const { columns, values } = node;
    if (!columns?.some((column) => this.#missingColumn(column))) return super.transformInsertQuery(node);
    const kept = columns.map((column) => !this.#missingColumn(column));
    const keep = <Item>(items: readonly Item[]) => items.filter((_, index) => kept[index]);
    const refuse = (items: readonly unknown[]) => {
      for (const [index, column] of columns.entries())
        if (!kept[index]) this.#refuseValue(column, items[index]);
    };
    return super.transformInsertQuery({
      ...node,
      columns: keep(columns),
      ...(values && { values: withoutItems(values, keep, refuse) }),
    });
  }

  protected override transformUpdateQuery(node: UpdateQueryNode): UpdateQueryNode {
    const updates = node.updates?.filter(({ column, value }: ColumnUpdateNode) => {
      if (!this.#missingColumn(column)) return true;
      this.#refuseValue(column, value);
      return false;
    });
    if (updates?.length === 0)
      throw new SchemaUpgrading('the target lacks every column that is to be changed');
    return super.transformUpdateQuery({ ...node, ...(updates && { updates }) });
  }

  #refuseValue(column: OperationNode, value: unknown): void {
    if (this.#missingColumn(column)?.spec.platformOnly || isNothing(value)) return;
    throw new SchemaUpgrading(`the target lacks the column ${nameOf(column)}`);
  }

  #missingColumn(node: OperationNode): AnyColumn | undefined {
    const name = nameOf(node);
    return name === undefined ? undefined : this.#missing.get(name);
  }
}

function withoutItems(
  values: OperationNode,
  keep: <Item>(items: readonly Item[]) => Item[],
  refuse: (items: readonly unknown[]) => void,
): OperationNode {
  if (values.kind === 'SelectQueryNode') {
    const query = values as SelectQueryNode;
    refuse(query.selections ?? []);
    return { ...query, selections: keep(query.selections ?? []) } as SelectQueryNode;
  }
  if (values.kind !== 'ValuesNode') throw new SchemaUpgrading('the target lacks a column of a raw INSERT');
  return ValuesNode.create(
    (values as ValuesNode).values.map((row) => {
      refuse(row.values);
      return PrimitiveValueListNode.is(row)
        ? PrimitiveValueListNode.create(keep(row.values))
        : ValueListNode.create(keep(row.values));
    }),
  );
}

/** True when a value of INSERT or UPDATE is null or the default, bare or as an item of a SELECT. */
function isNothing(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  const node = value as { kind?: string; selection?: unknown; node?: unknown };
  if (node.kind === 'SelectionNode') return isNothing(node.selection);
  if (node.kind === 'AliasNode') return isNothing(node.node);
  if (node.kind === 'DefaultInsertValueNode') return true;
  if (node.kind === 'RawNode') {
    const { sqlFragments, parameters } = node as RawNode;
    // `sql.val(null)`
    return sqlFragments.every((text) => text === '') && parameters.every(isNothing);
  }
  return node.kind === 'ValueNode' && ((node as ValueNode).value ?? null) === null;
}

function nameOf(node: OperationNode): string | undefined {
  if (node.kind === 'ReferenceNode') return nameOf((node as ReferenceNode).column);
  return node.kind === 'ColumnNode' ? (node as ColumnNode).column.name : undefined;
}

const nullOf = ({ spec }: AnyColumn) => RawNode.createWithSql(`null::${spec.type}`);

/** One tenant table of the definition, as targets of some schema version have it. */
export interface TableOnTarget {
  readonly exists: boolean;
  readonly present: ReadonlySet<string>;
  /** Columns of the definition that the target lacks. */
  readonly missing: ReadonlyMap<string, AnyColumn>;
}

/** The tables of the definition by name. */
export type TablesOnTarget = ReadonlyMap<string, TableOnTarget>;

/** What targets of that schema version have and lack of the tables; undefined when they lack nothing. */
export function tablesOnTarget(tables: readonly TenantTable[], version: number): TablesOnTarget | undefined {
  const all = new Map(
    tables.map((table): [string, TableOnTarget] => {
      const columns = Object.entries(table.columns);
      const missing = columns.filter(([, { spec }]) => !isPresentAt(spec, version));
      const present = columns.filter(([, { spec }]) => isPresentAt(spec, version)).map(([name]) => name);
      const exists = isPresentAt(table, version);
      return [table.name, { exists, present: new Set(present), missing: new Map(missing) }];
    }),
  );
  const lacking = [...all.values()].some(({ exists, missing }) => !exists || missing.size > 0);
  return lacking ? all : undefined;
}

const known = new Map<number, TablesOnTarget | undefined>();

/** The same for the tenant tables and views, cached. */
export function missingAtVersion(version: number): TablesOnTarget | undefined {
  if (!known.has(version)) known.set(version, tablesOnTarget([...tenantTables, ...tenantViews], version));
  return known.get(version);
}
