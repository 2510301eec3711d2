/** How the Data API returns values of a PostgreSQL type. */
export interface ColumnType {
  name: string;
  /** Code of `java.sql.Types`, which the Data API reports. */
  code: number;
  member: 'longValue' | 'doubleValue' | 'booleanValue' | 'stringValue' | 'blobValue';
  /** Element type when it is an array. */
  element?: ColumnType;
}

const text = (name: string, code: number): ColumnType => ({ name, code, member: 'stringValue' });

const SCALARS: Record<number, ColumnType> = {
  16: { name: 'bool', code: -7, member: 'booleanValue' },
  17: { name: 'bytea', code: -2, member: 'blobValue' },
  18: text('char', 1),
  19: text('name', 12),
  20: { name: 'int8', code: -5, member: 'longValue' },
  21: { name: 'int2', code: 5, member: 'longValue' },
  23: { name: 'int4', code: 4, member: 'longValue' },
  25: text('text', 12),
  26: { name: 'oid', code: -5, member: 'longValue' },
  114: text('json', 1111),
  700: { name: 'float4', code: 7, member: 'doubleValue' },
  701: { name: 'float8', code: 8, member: 'doubleValue' },
  1042: text('bpchar', 1),
  1043: text('varchar', 12),
  1082: text('date', 91),
  1083: text('time', 92),
  1114: text('timestamp', 93),
  1184: text('timestamptz', 93),
  1700: text('numeric', 2),
  2950: text('uuid', 1111),
  3802: text('jsonb', 1111),
};

/** Array types by the type of their elements. */
const ARRAYS: Record<number, number> = {
  1000: 16,
  1002: 18,
  1003: 19,
  1005: 21,
  1007: 23,
  1016: 20,
  1009: 25,
  1014: 1042,
  1015: 1043,
  1021: 700,
  1022: 701,
  1115: 1114,
  1182: 1082,
  1183: 1083,
  1185: 1184,
  1231: 1700,
  199: 114,
  2951: 2950,
  3807: 3802,
};

/** Types of extensions and own types (enumerations) are returned as text. */
export function columnType(oid: number): ColumnType {
  const element = SCALARS[ARRAYS[oid] ?? 0];
  if (element) return { name: `_${element.name}`, code: 2003, member: 'stringValue', element };
  return SCALARS[oid] ?? text('other', 1111);
}
