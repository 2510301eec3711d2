import { LRUCache } from 'lru-cache';
import { AwsError } from '../../errors.ts';

/** A statement split at its `:name` parameters. */
export interface SqlStatement {
  parts: (string | { parameter: string })[];
}

const parsed = new LRUCache<string, SqlStatement>({ max: 500 });

/**
 * Finds the named parameters of a statement, but not within string literals, quoted identifiers, dollar quotes or
 * comments, nor in casts (`::uuid`) or named notation (`:=`).
 * @throws {AwsError} when it has more than one statement
 */
export function parseSql(sql: string): SqlStatement {
  const known = parsed.get(sql);
  if (known) return known;
  const statement = scan(sql);
  parsed.set(sql, statement);
  return statement;
}

/** Parts that are skipped as a whole, in this order; `y` makes each match begin at the scan's position. */
const OPAQUE = [
  /--[^\n\r]*/y,
  /[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)/y,
  /'(?:[^']|'')*(?:'|$)/y,
  /"(?:[^"]|"")*(?:"|$)/y,
  /\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[\s\S]*?(?:\$\1\$|$)/y,
  /::|:=/y,
  // A word includes its digits and dollars, so that neither `e'` nor `$$` matches inside an identifier.
  /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y,
];
const PARAMETER = /:([A-Za-z_]\w*)/y;
const SPACE = /\s+/y;

function scan(sql: string): SqlStatement {
  const parts: SqlStatement['parts'] = [];
  let start = 0;
  let at = 0;
  let ended = false;
  const token = (length: number): void => {
    if (ended) throw new AwsError('ValidationException', `Multistatements aren't supported.`);
    at += length;
  };
  while (at < sql.length) {
    const blank =
      match(SPACE, sql, at) ?? (sql.startsWith('--', at) ? match(OPAQUE[0]!, sql, at) : undefined);
    if (blank) {
      at += blank[0].length;
      continue;
    }
    if (sql.startsWith('/*', at)) {
      at = endOfComment(sql, at);
      continue;
    }
    if (sql[at] === ';') {
      ended = true;
      at += 1;
      continue;
    }
    const parameter = match(PARAMETER, sql, at);
    const opaque = firstMatch(sql, at);
    if (opaque || !parameter) {
      token(opaque?.[0].length ?? 1);
      continue;
    }
    parts.push(sql.slice(start, at), { parameter: parameter[1]! });
    token(parameter[0].length);
    start = at;
  }
  parts.push(sql.slice(start));
  return { parts };
}

function match(expression: RegExp, sql: string, at: number): RegExpExecArray | undefined {
  expression.lastIndex = at;
  return expression.exec(sql) ?? undefined;
}

function firstMatch(sql: string, at: number): RegExpExecArray | undefined {
  for (const expression of OPAQUE) {
    const found = match(expression, sql, at);
    if (found) return found;
  }
  return undefined;
}

/** Comments nest in PostgreSQL. */
function endOfComment(sql: string, at: number): number {
  let depth = 0;
  while (at < sql.length) {
    if (sql.startsWith('/*', at)) depth += 1;
    else if (sql.startsWith('*/', at)) depth -= 1;
    else {
      at += 1;
      continue;
    }
    at += 2;
    if (depth === 0) break;
  }
  return at;
}
