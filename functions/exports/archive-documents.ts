/**
 * The texts of an export's archive that are not rows: the begin and the end of tenant.sql, the header lines of CSV
 * files, a JSON Schema for each table, account.json and README.txt.
 */
import type { BackupManifest, ManifestTable } from '../backups/manifest.ts';
import { backedUpTables } from '../backups/plan-backup.ts';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import {
  createForeignKeys,
  createIndexes,
  createTable,
  primaryKey,
  type RenderTarget,
  uniqueKeys,
} from '../database/tables/render-tables.ts';
import type { AnyColumn, Columns, TenantTable } from '../database/tables/tenant-table.ts';
import { csvField } from './row-texts.ts';

/** The tables of an isolated tenant, in the schema `public`, which every database has. */
const TARGET: RenderTarget = { model: 'isolated', schema: 'public', requestRole: 'none' };

/** The definition of a backup's tables, each with the columns and the order of the backup. */
export function exportedTables({ schemaVersion, tables }: BackupManifest): TenantTable[] {
  const known = backedUpTables(schemaVersion);
  return tables.map((backedUp) => {
    const table = known.find(({ name }) => name === backedUp.name);
    if (!table) throw new TypeError(`the backup has an unknown table ${backedUp.name}`);
    return { ...table, columns: columnsOf(table, backedUp) };
  });
}

function columnsOf({ columns, name }: TenantTable, backedUp: ManifestTable): Columns {
  return Object.fromEntries(
    backedUp.columns.map((column): [string, AnyColumn] => {
      const known = columns[column];
      if (!known) throw new TypeError(`the backup has an unknown column ${name}.${column}`);
      return [column, known];
    }),
  );
}

/** The begin of tenant.sql: settings of the session that loads it, and the tables without keys. */
export function sqlBeginning(manifest: BackupManifest): string {
  const { tenant, snapshotAt } = manifest;
  return `-- All data of tenant ${tenant.tenantId} as of ${snapshotAt}, for PostgreSQL 13 or newer.
-- Load it into an empty database as its owner: psql -v ON_ERROR_STOP=1 -d DATABASE -f tenant.sql
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET client_min_messages = warning;
BEGIN;

${statements(exportedTables(manifest).flatMap((table) => createTable(TARGET, table, { keys: 'none' })))}`;
}

/** The statement before the rows of a table. */
export function sqlTableBeginning({ name, columns }: TenantTable): string {
  const named = Object.keys(columns).map(identifier).join(', ');
  return `\nCOPY ${qualified(TARGET.schema, name)} (${named}) FROM stdin;\n`;
}

export const SQL_TABLE_END = '\\.\n';

/** The end of tenant.sql: keys and indexes, which are built after the rows are loaded; foreign keys last. */
export function sqlEnd(manifest: BackupManifest): string {
  const tables = exportedTables(manifest);
  const keys = tables.flatMap((table) =>
    [primaryKey(TARGET, table), ...uniqueKeys(TARGET, table)].map(
      ({ name, definition }) =>
        `ALTER TABLE ${qualified(TARGET.schema, table.name)} ADD CONSTRAINT ${name} ${definition}`,
    ),
  );
  const indexes = tables.flatMap((table) => createIndexes(TARGET, table));
  const foreignKeys = tables.flatMap((table) => createForeignKeys(TARGET, table));
  return `\n${statements([...keys, ...indexes, ...foreignKeys])}\nCOMMIT;\n`;
}

const statements = (list: readonly string[]) => list.map((statement) => `${statement};\n`).join('');

/** The first line of a table's CSV file. */
export function csvHeader({ columns }: TenantTable): string {
  return `${Object.keys(columns).map(csvField).join(',')}\r\n`;
}

/**
 * A JSON Schema of one row of the table's CSV file. Each property is a field; null is an empty field without quotes.
 */
export function rowSchema(table: TenantTable): string {
  const names = Object.keys(table.columns);
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: table.name,
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(table.columns).map(([name, { spec }]) => [name, propertyOf(spec, table, name)]),
    ),
    required: names,
    additionalProperties: false,
    // Not a keyword of JSON Schema; validators ignore it.
    'x-primaryKey': table.primaryKey,
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function propertyOf({ type, nullable, allowedValues }: AnyColumn['spec'], table: TenantTable, name: string) {
  const reference = table.foreignKeys.find(({ column }) => column === name);
  const value = {
    ...(allowedValues ? { enum: allowedValues } : valueSchema(type)),
    'x-sqlType': type,
    ...(reference ? { 'x-references': reference.references } : {}),
  };
  return nullable ? { anyOf: [value, { type: 'null' }] } : value;
}

/** Times and dates may be `infinity`, `-infinity` or before year 1, so they get no pattern. */
function valueSchema(type: string): object {
  const [, length] = /^character varying\((\d+)\)$/.exec(type) ?? [];
  if (length) return { type: 'string', maxLength: Number(length) };
  if (type.startsWith('numeric(')) return { anyOf: [{ type: 'number' }, { const: 'NaN' }] };
  switch (type) {
    case 'uuid':
      return { type: 'string', format: 'uuid' };
    case 'integer':
      return { type: 'integer' };
    case 'boolean':
      return { type: 'boolean' };
    case 'timestamp with time zone':
      return { type: 'string', format: 'date-time' };
    case 'date':
      return { type: 'string', format: 'date' };
    case 'jsonb':
      return { type: 'string', contentMediaType: 'application/json' };
    case 'bytea':
      return {
        type: 'string',
        pattern: '^\\\\x([0-9a-f]{2})*$',
        description: 'Bytes as \\x and hexadecimal digits. They are a value that the platform has encrypted.',
      };
    default:
      return { type: 'string' };
  }
}

/**
 * Fields of the tenant's record that belong to the customer. The other fields are for operators: cell, executions,
 * revenue.
 */
const TENANT_FIELDS = [
  'tenantId',
  'name',
  'slug',
  'tier',
  'dataResidency',
  'complianceRequirements',
  'billingEmail',
  'features',
  'createdAt',
];
const USER_FIELDS = ['userId', 'email', 'role', 'isActive', 'createdAt', 'lastLoginAt'];

/** account.json: the tenant's record and its users, which are in no table of the tenant, from the backup's manifest. */
export function accountDocument({ tenant, users }: BackupManifest): string {
  const account = {
    tenant: picked(tenant, TENANT_FIELDS),
    users: users.map((user) => picked(user, USER_FIELDS)),
  };
  return `${JSON.stringify(account, null, 2)}\n`;
}

const picked = (record: object, names: readonly string[]) =>
  Object.fromEntries(Object.entries(record).filter(([name]) => names.includes(name)));

export function readmeText(manifest: BackupManifest): string {
  const { tenant, snapshotAt, tables } = manifest;
  const rows = tables.map(({ name, rows: count }) => `  ${name.padEnd(24)}${count}`).join('\n');
  return `All data of one tenant
======================

Tenant:    ${oneLine(tenant.name)}
Id:        ${tenant.tenantId}
As of:     ${snapshotAt} (the same time for every table)

tenant.sql        tables, keys, checks, indexes and rows for PostgreSQL 13 or newer. Load it into an
                  empty database, as its owner:
                    createdb DATABASE
                    psql -v ON_ERROR_STOP=1 -d DATABASE -f tenant.sql
csv/              one file for each table
schemas/          one JSON Schema for each table: names, types and keys of its columns
account.json      the tenant's record, and its users

Rows:
${rows}

CSV files follow RFC 4180: UTF-8 without a byte order mark, commas, lines that end with CR and LF, a header line.
An empty field is NULL; an empty text is "". Times are UTC. Columns of type jsonb hold JSON text.

The values are exact. Texts that begin with =, +, - or @ are not changed, and a spreadsheet may treat them as formulas.
Import the columns as text if you do not trust everyone who could write these values.

Columns of type bytea (employees.ssn_encrypted, employees.salary_encrypted) are hexadecimal. The platform encrypted these
values before it stored them: the archive has the encrypted bytes, but not the key. An administrator of the tenant reads
them in clear from the API (GET /employees) while the platform serves the tenant. After the tenant is erased, these
values cannot be read.

The idempotency keys of the last 24 hours, which answer repeated requests, are not in the archive.
`;
}

/** The customer chooses the name, so it must stay on one line: a second line could imitate the lines of the README. */
const oneLine = (text: string) => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ');
