/**
 * Compiles the query builder's trees for the Data API: parameters are named (`:p1`, `:p2` …), and a value that is
 * compared with a column, assigned to one or inserted into one is cast to the column's type. The Data API binds every
 * string as text, which PostgreSQL compares with neither a uuid nor a time.
 *
 * Columns are looked up in `registry-tables.ts`, by the tables and aliases of the whole statement:
 *
 * - an alias names the same table everywhere in a statement;
 * - a column without a table has the same type in all tables of the statement that have such a column.
 *
 * What has no column beside it (an argument of a function, a branch of CASE, raw SQL) is bound as it is; `columnValue`
 * names its column.
 */
import {
  type AliasNode,
  type BinaryOperationNode,
  type ColumnNode,
  type ColumnUpdateNode,
  type CompiledQuery,
  type IdentifierNode,
  type InsertQueryNode,
  type OperationNode,
  type ParensNode,
  PostgresQueryCompiler,
  type PrimitiveValueListNode,
  type QueryId,
  type RawNode,
  type ReferenceNode,
  type RootOperationNode,
  type TableNode,
  type TupleNode,
  type UpdateQueryNode,
  type ValueListNode,
  type ValueNode,
  type ValuesNode,
} from 'kysely';
import { columnTypeOf } from './registry-tables.ts';

/** Stands for a value that is known only when the compiled statement runs: it becomes the parameter `:name`. */
export class LaterValue {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A value with the column whose type it is cast to. */
export interface ColumnValueNode extends ValueNode {
  readonly columnType: string | undefined;
}

/** A column's type; of a tuple of columns, theirs. */
type Expected = string | undefined | readonly Expected[];

export class RegistryCompiler extends PostgresQueryCompiler {
  /** By the names under which the statement refers to them, its tables. */
  #tables: ReadonlyMap<string, string> = new Map();
  readonly #expected = new Map<OperationNode, Expected>();
  /** The table that the innermost INSERT or UPDATE writes. */
  #written: string | undefined;

  /** @throws {TypeError} a value needs a column, or a column's table cannot be told. */
  override compileQuery(node: RootOperationNode, queryId: QueryId): CompiledQuery {
    this.#tables = tablesOf(node);
    this.#expected.clear();
    this.#written = undefined;
    return super.compileQuery(node, queryId);
  }

  protected override visitBinaryOperation(node: BinaryOperationNode): void {
    this.#expect(node.rightOperand, this.#typeOf(node.leftOperand));
    this.#expect(node.leftOperand, this.#typeOf(node.rightOperand));
    super.visitBinaryOperation(node);
  }

  protected override visitInsertQuery(node: InsertQueryNode): void {
    const outer = this.#written;
    this.#written = node.into && tableNameOf(node.into);
    const types = (node.columns ?? []).map(({ column }) => columnTypeOf(this.#written ?? '', column.name));
    if (node.values?.kind === 'ValuesNode') {
      for (const row of (node.values as ValuesNode).values) this.#expect(row, types);
    }
    super.visitInsertQuery(node);
    this.#written = outer;
  }

  protected override visitUpdateQuery(node: UpdateQueryNode): void {
    const outer = this.#written;
    this.#written = node.table && tableNameOf(node.table);
    super.visitUpdateQuery(node);
    this.#written = outer;
  }

  protected override visitColumnUpdate(node: ColumnUpdateNode): void {
    const name = columnNameOf(node.column);
    if (name && this.#written) this.#expect(node.value, columnTypeOf(this.#written, name));
    super.visitColumnUpdate(node);
  }

  protected override visitValue(node: ValueNode): void {
    if (node.immediate) super.visitValue(node);
    else this.#appendCast(node.value, (node as ColumnValueNode).columnType ?? this.#expected.get(node));
  }

  protected override visitPrimitiveValueList(node: PrimitiveValueListNode): void {
    const expected = this.#expected.get(node);
    this.append('(');
    for (const [index, value] of node.values.entries()) {
      if (index > 0) this.append(', ');
      this.#appendCast(value, Array.isArray(expected) ? expected[index] : expected);
    }
    this.append(')');
  }

  protected override getCurrentParameterPlaceholder(): string {
    return `:p${this.numParameters}`;
  }

  #appendCast(value: unknown, expected: Expected): void {
    const type = typeof expected === 'string' ? expected.replace(/\(.*/, '') : undefined;
    if (value instanceof LaterValue) this.append(`:${value.name}`);
    else if (type === undefined && typeof value === 'object' && value !== null)
      throw new TypeError('a time or JSON needs the column that it is meant for: use columnValue');
    else this.appendValue(value);
    // Strings are bound as text already.
    if (type !== undefined && type !== 'text' && type !== 'character varying') this.append(`::${type}`);
  }

  #expect(node: OperationNode, type: Expected): void {
    if (type === undefined) return;
    const each = (nodes: readonly OperationNode[]) => {
      for (const [index, one] of nodes.entries()) this.#expect(one, Array.isArray(type) ? type[index] : type);
    };
    if (node.kind === 'ValueNode' || node.kind === 'PrimitiveValueListNode') this.#expected.set(node, type);
    else if (node.kind === 'ValueListNode') each((node as ValueListNode).values);
    else if (node.kind === 'TupleNode') each((node as TupleNode).values);
    else if (node.kind === 'ParensNode') this.#expect((node as ParensNode).node, type);
  }

  #typeOf(node: OperationNode): Expected {
    if (node.kind === 'TupleNode') return (node as TupleNode).values.map((one) => this.#typeOf(one));
    if (node.kind === 'ParensNode') return this.#typeOf((node as ParensNode).node);
    if (node.kind === 'RawNode') {
      const { sqlFragments, parameters } = node as RawNode;
      const [only] = parameters;
      // `sql.ref(…)`
      return only && parameters.length === 1 && sqlFragments.every((text) => text === '')
        ? this.#typeOf(only)
        : undefined;
    }
    const column = columnNameOf(node);
    if (column === undefined) return undefined;
    const table = node.kind === 'ReferenceNode' ? (node as ReferenceNode).table : undefined;
    if (table) return columnTypeOf(this.#tables.get(nameOf(table)) ?? nameOf(table), column);
    const types = new Set(
      [...this.#tables.values()].flatMap((candidate) => columnTypeOf(candidate, column) ?? []),
    );
    if (types.size > 1) throw new TypeError(`${column} has several types here: name its table`);
    return [...types][0];
  }
}

/** Values are no nodes; a reference, and the lock on a table, name one without bringing it into the statement. */
const NAMES_NO_FURTHER_TABLE: ReadonlySet<string> = new Set([
  'ValueNode',
  'PrimitiveValueListNode',
  'ReferenceNode',
  'SelectModifierNode',
]);

/** By alias and by name, the tables of the statement and its subqueries. */
function tablesOf(root: OperationNode): Map<string, string> {
  const tables = new Map<string, string>();
  const add = (name: string, table: string) => {
    if ((tables.get(name) ?? table) !== table) throw new TypeError(`${name} is the alias of two tables`);
    tables.set(name, table);
  };
  const collect = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if (Array.isArray(node)) {
      for (const one of node) collect(one);
      return;
    }
    const { kind } = node as OperationNode;
    if (NAMES_NO_FURTHER_TABLE.has(kind)) return;
    if (kind === 'TableNode') add(nameOf(node as TableNode), nameOf(node as TableNode));
    else if (kind === 'AliasNode' && (node as AliasNode).node.kind === 'TableNode') {
      const { alias, node: table } = node as AliasNode;
      add((alias as IdentifierNode).name, nameOf(table as TableNode));
    } else for (const value of Object.values(node)) collect(value);
  };
  collect(root);
  return tables;
}

const nameOf = (node: TableNode): string => node.table.identifier.name;

function tableNameOf(node: OperationNode): string | undefined {
  if (node.kind === 'AliasNode') return tableNameOf((node as AliasNode).node);
  return node.kind === 'TableNode' ? nameOf(node as TableNode) : undefined;
}

function columnNameOf(node: OperationNode): string | undefined {
  if (node.kind === 'ReferenceNode') return columnNameOf((node as ReferenceNode).column);
  return node.kind === 'ColumnNode' ? (node as ColumnNode).column.name : undefined;
}
