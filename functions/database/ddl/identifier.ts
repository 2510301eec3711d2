import { isUuid } from '../../contracts/tenant.ts';

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * The name, double-quoted, for statements that take no parameters (DDL).
 * @throws {TypeError} unless it is a plain lower-case identifier; the message does not repeat the name.
 */
export function identifier(name: string): string {
  if (!IDENTIFIER.test(name)) throw new TypeError('not a plain lower-case SQL identifier');
  return `"${name}"`;
}

/** `schema.name`, both validated and quoted. */
export function qualified(schema: string, name: string): string {
  return `${identifier(schema)}.${identifier(name)}`;
}

/**
 * A string constant for statements that take no parameters. @throws {TypeError} on NUL, which PostgreSQL's text cannot
 * hold.
 */
export function literal(value: string): string {
  if (value.includes('\0')) throw new TypeError('a SQL string cannot contain NUL');
  const quoted = `'${value.replaceAll("'", "''")}'`;
  // The E form is independent of standard_conforming_strings.
  return value.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** @throws {TypeError} unless it is a lower-case UUID in its canonical form. */
export function assertUuid(value: string): void {
  if (!isUuid(value)) throw new TypeError('not a lower-case UUID');
}
