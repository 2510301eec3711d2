import type { FieldDef, PoolClient } from 'pg';
import { columnType } from './column-types.ts';

const SIGNED = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric']);
const LENGTHENED = new Set([1042, 1043]);
const NUMERIC = 1700;

const ORIGIN = `
  SELECT a.attrelid::int8::text AS table, a.attnum::text AS column, a.attnotnull, c.relname, n.nspname
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0`;

interface Origin {
  table: string;
  column: string;
  attnotnull: boolean;
  relname: string;
  nspname: string;
}

/** Describes result columns as JDBC does, with the table of each. */
export async function columnMetadata(client: PoolClient, fields: FieldDef[]): Promise<unknown[]> {
  const tables = [...new Set(fields.map((field) => field.tableID).filter((table) => table > 0))];
  const origins = tables.length === 0 ? [] : (await client.query<Origin>(ORIGIN, [tables])).rows;
  return fields.map((field) => {
    const type = columnType(field.dataTypeID);
    const origin = origins.find(
      (one) => one.table === String(field.tableID) && one.column === String(field.columnID),
    );
    return {
      name: field.name,
      label: field.name,
      type: type.code,
      typeName: type.name,
      nullable: origin?.attnotnull ? 0 : 1,
      precision: precision(field),
      scale:
        field.dataTypeID === NUMERIC && field.dataTypeModifier > 0
          ? (field.dataTypeModifier - 4) & 0xffff
          : 0,
      schemaName: origin?.nspname ?? '',
      tableName: origin?.relname ?? '',
      isAutoIncrement: false,
      isCaseSensitive: type.member === 'stringValue',
      isCurrency: false,
      isSigned: SIGNED.has(type.name),
      arrayBaseColumnType: type.element?.code ?? 0,
    };
  });
}

function precision(field: FieldDef): number {
  if (field.dataTypeID === NUMERIC && field.dataTypeModifier > 0) return (field.dataTypeModifier - 4) >> 16;
  if (LENGTHENED.has(field.dataTypeID) && field.dataTypeModifier > 0) return field.dataTypeModifier - 4;
  return field.dataTypeSize > 0 ? field.dataTypeSize : 2147483647;
}
