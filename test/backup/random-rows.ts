/**
 * Random rows for every tenant table: extreme values of every type, NULLs in nullable columns, and valid references.
 */
import fc from 'fast-check';
import type pg from 'pg';
import { identifier, qualified } from '../../functions/database/ddl/identifier.ts';
import type { AnyColumn, IndexedRows, TenantTable } from '../../functions/database/tables/tenant-table.ts';

/** A value in PostgreSQL's text form; null is NULL. */
type Value = string | null;
export type TableRows = Readonly<Record<string, readonly Readonly<Record<string, Value>>[]>>;

/** Any code point. `unit: 'binary'` means the same, but spends two seconds on a map of all code points. */
const codePoint = fc.integer({ min: 0, max: 0x10ffff }).map((value) => String.fromCodePoint(value));

/** PostgreSQL's text has no NUL, and UTF-8 has no lone surrogates. */
const text = (maxLength: number) =>
  fc
    .string({ unit: codePoint, maxLength: Math.min(maxLength, 60) })
    .map((value) => value.replaceAll('\0', '�').slice(0, maxLength).toWellFormed());

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom('-0', '1e-400', '123456789012345678901234567890.123456789', '1.10', '1e30'),
);
const json: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('null', 'true', 'false', '{}', '[]', '""'),
    number.map(String),
    text(30).map((value) => JSON.stringify(value)),
    fc.array(tie('value'), { maxLength: 4 }).map((values) => `[${values.join(',')}]`),
    fc
      .array(fc.tuple(text(10), tie('value')), { maxLength: 4 })
      .map((entries) => `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`),
    // Longer than a page: stored out of line.
    fc.integer({ min: 0, max: 9 }).map((digit) => `{"long":"${`x${digit}é`.repeat(9_000)}"}`),
  ),
})).value;

const two = (value: number) => String(value).padStart(2, '0');
const day = fc
  .tuple(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
  .map(([year, month, date]) => `${String(year).padStart(4, '0')}-${two(month)}-${two(date)}`);
const date = fc.oneof(
  day,
  fc.constantFrom('infinity', '-infinity', '4713-01-01 BC', '5874897-12-31', '2024-02-29'),
);
const timestamp = fc.oneof(
  fc
    .tuple(
      day,
      fc.integer({ min: 0, max: 23 }),
      fc.integer({ min: 0, max: 59 }),
      fc.integer({ min: 0, max: 999_999 }),
    )
    .map(
      ([on, hour, minute, micros]) =>
        `${on} ${two(hour)}:${two(minute)}:59.${String(micros).padStart(6, '0')}+00`,
    ),
  fc.constantFrom(
    'infinity',
    '-infinity',
    '4713-01-01 00:00:00+00 BC',
    '294276-12-31 23:59:59.999999+00',
    'epoch',
  ),
);
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter((ip) => !ip.includes('.')),
  fc.constantFrom('0.0.0.0/0', '10.1.2.3/8', '::/0', 'fe80::1/64', '255.255.255.255'),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(new Uint8Array(), new Uint8Array([0, 92, 255]), new Uint8Array(20_000).fill(7)),
);

function valueIn({ spec }: AnyColumn): fc.Arbitrary<Value> {
  const known = spec.allowedValues ? fc.constantFrom(...spec.allowedValues) : ofType(spec.type);
  return spec.nullable ? fc.option(known, { nil: null }) : known;
}

function ofType(type: string): fc.Arbitrary<string> {
  const [, length] = /^character varying\((\d+)\)$/.exec(type) ?? [];
  if (length) return text(Number(length));
  const [, precision, scale] = /^numeric\((\d+),(\d+)\)$/.exec(type) ?? [];
  if (precision && scale) {
    const most = 10 ** Number(precision) - 1;
    const digits = fc.oneof(fc.integer({ min: -most, max: most }), fc.constantFrom(most, -most, 0));
    return fc.oneof(
      digits.map((value) => (value / 10 ** Number(scale)).toFixed(Number(scale))),
      fc.constant('NaN'),
    );
  }
  switch (type) {
    case 'uuid':
      return fc.uuid();
    case 'text':
      return fc.oneof(text(200), fc.constant('Ⅷ'.repeat(5_000)));
    case 'integer':
      return fc.oneof(fc.integer(), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1)).map(String);
    case 'boolean':
      return fc.boolean().map(String);
    case 'timestamp with time zone':
      return timestamp;
    case 'date':
      return date;
    case 'jsonb':
      return json;
    case 'bytea':
      return bytes.map((value) => `\\x${Buffer.from(value).toString('hex')}`);
    case 'inet':
      return address;
    default:
      throw new TypeError(`no random values of ${type}`);
  }
}

/** Up to `most` rows of each table. Keys are unique; references point to rows of the same data. */
export function randomRows(tables: readonly TenantTable[], most: number): fc.Arbitrary<TableRows> {
  const rowsOf = (table: TenantTable) =>
    fc.array(
      fc.record({
        values: fc.record(
          Object.fromEntries(Object.entries(table.columns).map(([name, column]) => [name, valueIn(column)])),
        ),
        picks: fc.array(fc.nat(), {
          minLength: table.foreignKeys.length,
          maxLength: table.foreignKeys.length,
        }),
      }),
      { maxLength: most },
    );
  return fc.tuple(...tables.map(rowsOf)).map((drawn) => {
    const data: Record<string, Record<string, Value>[]> = {};
    for (const [n, table] of tables.entries()) {
      const rows: Record<string, Value>[] = [];
      data[table.name] = rows;
      const keys = [
        ...[table.primaryKey, ...table.unique].map((columns) => ({ columns, where: undefined })),
        ...table.indexes.filter(({ unique }) => unique),
      ].map(({ columns, where }) => ({ columns, where, seen: new Set<string>() }));
      for (const { values, picks } of drawn[n] ?? []) {
        const row = { ...values } as Record<string, Value>;
        satisfyRules(table.name, row);
        const holds = table.foreignKeys.every(({ column, references }, index) => {
          // A row may refer to itself, too.
          const [key = ''] = tables.find(({ name }) => name === references)?.primaryKey ?? [];
          const parents = references === table.name ? [...rows, row] : (data[references] ?? []);
          const parent = parents[(picks[index] ?? 0) % Math.max(1, parents.length)];
          if (row[column] !== null) row[column] = parent?.[key] ?? null;
          return row[column] !== null || Boolean(table.columns[column]?.spec.nullable);
        });
        const keysOfRow = keys
          .filter(({ where }) => !where || isIndexed(row, where))
          .map(({ columns, seen }) => ({ seen, key: JSON.stringify(columns.map((name) => row[name])) }));
        if (!holds || keysOfRow.some(({ seen, key }) => seen.has(key))) continue;
        for (const { seen, key } of keysOfRow) seen.add(key);
        rows.push(row);
      }
    }
    return data;
  });
}

function isIndexed(row: Record<string, Value>, where: IndexedRows): boolean {
  const value = row[where.column];
  return 'is' in where ? (value === null) === (where.is === 'NULL') : value === where.equals;
}

/** Changes a row so that it satisfies the rules of its table. */
function satisfyRules(table: string, row: Record<string, Value>): void {
  if (table === 'assessments' && row.status !== 'draft') {
    row.questions ??= '[]';
    row.scoring_config ??= '{}';
  }
  if (table === 'assessment_results') {
    row.completed_at = row.status === 'completed' ? (row.completed_at ?? 'epoch') : null;
    const score = Number(row.score ?? 0);
    if (!(score >= 0 && score <= 100)) row.score = '99.99';
  }
  // No day is before this one.
  if (table === 'certifications' && row.issue_date != null && row.expiry_date != null)
    row.issue_date = '-infinity';
}

/** @param tenantId for the shared tables */
export async function insertRows(
  superuser: pg.ClientBase,
  schema: string,
  tables: readonly TenantTable[],
  rows: TableRows,
  tenantId?: string,
): Promise<void> {
  for (const { name, columns } of tables) {
    const names = [...(tenantId ? ['tenant_id'] : []), ...Object.keys(columns)];
    for (const row of rows[name] ?? []) {
      const values = [
        ...(tenantId ? [tenantId] : []),
        ...Object.keys(columns).map((column) => row[column] ?? null),
      ];
      await superuser.query(
        `INSERT INTO ${qualified(schema, name)} (${names.map(identifier).join(', ')})
         VALUES (${values.map((_, index) => `$${index + 1}`).join(', ')})`,
        values,
      );
    }
  }
}
