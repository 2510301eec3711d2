import type { FieldDef } from 'pg';
import { AwsError } from '../../errors.ts';
import { type ColumnType, columnType } from './column-types.ts';

/** AWS ends a call whose answer grows beyond this many bytes. */
const RESULT_LIMIT = 1024 * 1024;
const ROW_LIMIT = 64 * 1024;

/** Rows as text, in PostgreSQL's form. */
export type TextRow = (string | null)[];

/** Rows in the Data API's typed fields. @throws {AwsError} when they are too large */
export function typedRecords(fields: FieldDef[], rows: TextRow[]): unknown[][] {
  const types = fields.map((field) => columnType(field.dataTypeID));
  checkSize(rows);
  return rows.map((row) => row.map((value, index) => typedField(value, types[index]!)));
}

/** Rows as one JSON text of objects, keyed by column label. @throws {AwsError} when they are too large */
export function formattedRecords(fields: FieldDef[], rows: TextRow[]): string {
  const types = fields.map((field) => columnType(field.dataTypeID));
  checkSize(rows);
  const objects = rows.map((row) => {
    const members = row.map((value, index) => {
      const plain = value === null ? null : plainValue(value, types[index]!);
      return `${JSON.stringify(fields[index]!.name)}:${stringify(plain)}`;
    });
    return `{${members.join(',')}}`;
  });
  return `[${objects.join(',')}]`;
}

function checkSize(rows: TextRow[]): void {
  let total = 0;
  for (const row of rows) {
    let size = 0;
    for (const value of row) size += value === null ? 0 : Buffer.byteLength(value);
    if (size > ROW_LIMIT) {
      throw new AwsError('BadRequestException', 'Database returned a row that exceeds the limit of 64 KB');
    }
    total += size;
  }
  if (total > RESULT_LIMIT) {
    throw new AwsError('BadRequestException', 'Database returned more than the allowed response size limit');
  }
}

function typedField(value: string | null, type: ColumnType): unknown {
  if (value === null) return { isNull: true };
  if (type.element) return { arrayValue: arrayField(value, type.element) };
  return { [type.member]: plainValue(value, type) };
}

const ARRAY_MEMBERS: Record<ColumnType['member'], string> = {
  longValue: 'longValues',
  doubleValue: 'doubleValues',
  booleanValue: 'booleanValues',
  stringValue: 'stringValues',
  blobValue: 'stringValues',
};

function arrayField(value: string, element: ColumnType): unknown {
  const items = arrayItems(value).map((item) => (item === null ? null : plainValue(item, element)));
  return { [ARRAY_MEMBERS[element.member]]: items };
}

function plainValue(value: string, type: ColumnType): unknown {
  if (type.element) {
    const { element } = type;
    return arrayItems(value).map((item) => (item === null ? null : plainValue(item, element)));
  }
  switch (type.member) {
    case 'longValue':
      return wholeNumber(value);
    case 'doubleValue':
      return Number.isFinite(Number(value)) ? Number(value) : value;
    case 'booleanValue':
      return value === 't';
    case 'blobValue':
      return Buffer.from(value.slice(2), 'hex').toString('base64');
    default:
      // The Data API returns every point in time in UTC, without a zone.
      return type.name === 'timestamptz' ? value.replace(/\+00$/, '') : value;
  }
}

/** JSON has no limit on digits, JavaScript's numbers do. */
function wholeNumber(value: string): unknown {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value);
}

function stringify(value: unknown): string {
  return JSON.stringify(value);
}

/** Elements of a one-dimensional array in PostgreSQL's text form. @throws {AwsError} for more dimensions */
function arrayItems(value: string): (string | null)[] {
  if (value.startsWith('[') || value.startsWith('{{')) {
    throw new AwsError('UnsupportedResultException', 'The result contains a multidimensional array');
  }
  const items: (string | null)[] = [];
  const element = /\s*(?:"((?:[^"\\]|\\[\s\S])*)"|([^,]*))(?:,|$)/y;
  const body = value.slice(1, -1);
  while (element.lastIndex < body.length) {
    const found = element.exec(body);
    if (!found) break;
    const [, quoted, bare] = found;
    if (quoted !== undefined) items.push(quoted.replace(/\\([\s\S])/g, '$1'));
    else items.push(bare === 'NULL' ? null : (bare ?? ''));
  }
  return items;
}
