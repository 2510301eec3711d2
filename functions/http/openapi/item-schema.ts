import * as z from 'zod/mini';
import type { ColumnSpec } from '../../database/tables/column.ts';
import type { AnyColumn } from '../../database/tables/tenant-table.ts';
import { tenantTables } from '../../database/tables/tenant-tables.ts';
import { toCamelCase } from '../../resources/field-names.ts';
import type { ResourceStore } from '../../tenant-data/resource-store.ts';
import { component } from './component.ts';

export type Fields = Record<string, z.core.$ZodType>;

/**
 * The item of a resource, from the columns that its store shows: types, lengths, allowed values, and which may be null.
 * @param name in `components`, such as `Employee`.
 * @param fields the schema of each `jsonb` column by its JSON name, and of fields that are no column.
 * @throws {Error} a `jsonb` column has no schema.
 */
export function itemSchema(name: string, { resource }: ResourceStore, fields: Fields = {}) {
  const table = tenantTables.find((one) => one.name === resource.table);
  const columns: Readonly<Record<string, AnyColumn>> = table?.columns ?? {};
  const shape: Fields = {};
  for (const column of resource.columns) {
    const spec = columns[column]?.spec;
    const field = toCamelCase(column);
    if (!spec) throw new Error(`${resource.table} has no column ${column}`);
    const value = fields[field] ?? valueSchema(spec, `${name}.${field}`);
    const schema = spec.nullable ? z.nullable(value) : value;
    // A document that is too large for a list is left out.
    shape[field] = resource.documents.includes(column) ? z.optional(schema) : schema;
  }
  return component(name, z.object({ ...shape, ...own(fields, shape) }));
}

/** The fields that are no column. */
function own(fields: Fields, shape: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([field]) => !(field in shape)));
}

const VARCHAR = /^character varying\((\d+)\)$/;

function valueSchema({ type, allowedValues }: ColumnSpec, place: string): z.core.$ZodType {
  if (allowedValues) return z.enum(allowedValues as [string, ...string[]]);
  const [, length] = VARCHAR.exec(type) ?? [];
  if (length !== undefined) return z.string().check(z.maxLength(Number(length)));
  if (type.startsWith('numeric')) return z.number();
  const schema = VALUES[type];
  if (!schema) throw new Error(`${place} is of type ${type}: give its schema`);
  return schema;
}

/** What `value-parsers.ts` makes of each type of column. */
const VALUES: Readonly<Record<string, z.core.$ZodType>> = {
  uuid: z.uuid(),
  text: z.string(),
  integer: z.int(),
  boolean: z.boolean(),
  date: z.iso.date(),
  inet: z.string(),
  'timestamp with time zone': z.iso.datetime(),
};
