/**
 * The part of CloudWatch Logs Insights' query language that queries here use. Commands are separated by `|`:
 *
 *   fields NAME, …
 *   filter CONDITION        comparisons, `like /regex/`, `like "text"`, `in [a, b]`, ispresent(NAME), and, or, not, ( )
 *   stats FUNCTION as NAME, … by NAME, …      count(*), count, count_distinct, sum, avg, min, max
 *   sort NAME asc|desc
 *   limit N
 *
 * Anything else is refused as AWS refuses a malformed query, so that a query which works here says nothing unknown.
 */
import { AwsError } from '../../errors.ts';
import type { LogEvent } from './log-groups.ts';

type Value = string | number | boolean | undefined;
/** A row: the value of a field by its name; nested fields have names with dots. */
type Row = (name: string) => Value;
type Condition = (row: Row) => boolean;
type Command = (rows: Row[]) => Row[];

export interface Query {
  /** Names of the result's fields. */
  readonly fields: readonly string[];
  run(events: readonly LogEvent[]): { field: string; value: string }[][];
}

/** Rows of a result, at most; AWS's own limit. */
const MOST_ROWS = 10_000;

/** @throws {AwsError} MalformedQueryException */
export function parseQuery(text: string): Query {
  let fields = ['@timestamp', '@message'];
  const commands = splitCommands(text).map((command): Command => {
    const [, verb = '', rest = ''] = /^(\w+)\s+([\s\S]+)$/.exec(command) ?? [];
    switch (verb) {
      case 'fields':
      case 'display':
        fields = rest.split(',').map((name) => nameOf(name.trim()));
        return (rows) => rows;
      case 'filter': {
        const condition = new Conditions(rest).parse();
        return (rows) => rows.filter(condition);
      }
      case 'stats': {
        const stats = parseStats(rest);
        fields = stats.fields;
        return stats.command;
      }
      case 'sort': {
        const [, name = '', order] = /^(\S+?)(?:\s+(asc|desc))?$/.exec(rest.trim()) ?? [];
        const sign = order === 'asc' ? 1 : -1;
        const key = nameOf(name);
        return (rows) => [...rows].sort((one, other) => sign * compare(one(key), other(key)));
      }
      case 'limit': {
        const limit = Number(rest);
        if (!Number.isInteger(limit) || limit < 1 || limit > MOST_ROWS) throw malformed(command);
        return (rows) => rows.slice(0, limit);
      }
      default:
        throw malformed(command);
    }
  });
  return {
    fields,
    run(events) {
      let rows = events.map(rowOf);
      for (const command of commands) rows = command(rows);
      return rows.slice(0, MOST_ROWS).map((row) =>
        fields.flatMap((field) => {
          const value = row(field);
          return value === undefined ? [] : [{ field, value: String(value) }];
        }),
      );
    },
  };
}

function malformed(part: string): AwsError {
  return new AwsError('MalformedQueryException', `unexpected symbol found near: ${part.slice(0, 80)}`);
}

/** At `|` outside of quotes and regular expressions. */
function splitCommands(text: string): string[] {
  const commands = [''];
  for (const [part] of text.matchAll(/"(?:\\.|[^"])*"|'(?:\\.|[^'])*'|\/(?:\\.|[^/\n])+\/|[\s\S]/g)) {
    if (part === '|') commands.push('');
    else commands[commands.length - 1] += part;
  }
  return commands.map((command) => command.trim()).filter((command) => command !== '');
}

function nameOf(text: string): string {
  const [, name] = /^(?:`([^`]+)`)$/.exec(text) ?? [];
  if (name !== undefined) return name;
  if (!/^[@A-Za-z_][\w.@]*$/.test(text)) throw malformed(text);
  return text;
}

function rowOf({ timestamp, message, fields }: LogEvent): Row {
  return (name) => {
    if (name === '@timestamp') return timestamp;
    if (name === '@message') return message;
    let value: unknown = fields;
    for (const part of Object.hasOwn(fields, name) ? [name] : name.split('.')) {
      value = (value as Record<string, unknown> | null | undefined)?.[part];
    }
    if (value === undefined || value === null) return undefined;
    return typeof value === 'object' ? JSON.stringify(value) : (value as Value);
  };
}

function compare(one: Value, other: Value): number {
  const [a, b] = [Number(one), Number(other)];
  if (!Number.isNaN(a) && !Number.isNaN(b) && one !== '' && other !== '') return a - b;
  return String(one ?? '') < String(other ?? '') ? -1 : String(one ?? '') > String(other ?? '') ? 1 : 0;
}

const AGGREGATES: Readonly<Record<string, (values: Value[]) => Value>> = {
  count: (values) => values.length,
  count_distinct: (values) => new Set(values.map(String)).size,
  sum: (values) => values.reduce<number>((sum, value) => sum + Number(value), 0),
  avg: (values) =>
    values.length === 0
      ? undefined
      : values.reduce<number>((sum, value) => sum + Number(value), 0) / values.length,
  min: (values) => (values.length === 0 ? undefined : Math.min(...values.map(Number))),
  max: (values) => (values.length === 0 ? undefined : Math.max(...values.map(Number))),
};

function parseStats(text: string): { fields: string[]; command: Command } {
  const [, aggregates = text, groups = ''] = /^([\s\S]*?)(?:\s+by\s+([\s\S]+))?$/.exec(text.trim()) ?? [];
  const keys = groups === '' ? [] : groups.split(',').map((key) => nameOf(key.trim()));
  const columns = aggregates.split(',').map((part) => {
    const call = /^(\w+)\(\s*(\*|[^()\s]+)\s*\)(?:\s+as\s+(\S+))?$/.exec(part.trim());
    const aggregate = AGGREGATES[call?.[1] ?? ''];
    if (!call || !aggregate) throw malformed(part.trim());
    const [whole, , argument = '', alias] = call;
    if (argument === '*' && call[1] !== 'count') throw malformed(whole);
    const field = argument === '*' ? undefined : nameOf(argument);
    return { name: alias === undefined ? whole : nameOf(alias), field, aggregate };
  });
  return {
    fields: [...keys, ...columns.map(({ name }) => name)],
    command: (rows) => {
      const grouped = new Map<string, Row[]>();
      for (const row of rows) {
        const key = JSON.stringify(keys.map((name) => row(name) ?? null));
        const group = grouped.get(key);
        if (group) group.push(row);
        else grouped.set(key, [row]);
      }
      return [...grouped.values()].map((group) => {
        const values = new Map<string, Value>(keys.map((key) => [key, group[0]?.(key)]));
        for (const { name, field, aggregate } of columns) {
          const given = field === undefined ? group.map(() => 1) : group.map((row) => row(field));
          values.set(name, aggregate(given.filter((value) => value !== undefined)));
        }
        return (name) => values.get(name);
      });
    },
  };
}

/** A recursive descent over the tokens of one condition. */
class Conditions {
  readonly #tokens: string[];
  #at = 0;

  constructor(text: string) {
    const token =
      /\s*("(?:\\.|[^"])*"|'(?:\\.|[^'])*'|\/(?:\\.|[^/\n])+\/|`[^`]+`|[!<>=]=|[<>=]|[()[\],]|-?\d+(?:\.\d+)?(?![\w.])|[@\w.]+)/y;
    this.#tokens = [];
    let end = 0;
    for (let match = token.exec(text); match; match = token.exec(text)) {
      this.#tokens.push(match[1] as string);
      end = token.lastIndex;
    }
    if (text.slice(end).trim() !== '') throw malformed(text.slice(end));
  }

  /** @throws {AwsError} MalformedQueryException */
  parse(): Condition {
    const condition = this.#either();
    if (this.#at < this.#tokens.length) throw malformed(this.#tokens.slice(this.#at).join(' '));
    return condition;
  }

  #either(): Condition {
    let condition = this.#both();
    while (this.#takes('or')) {
      const [one, other] = [condition, this.#both()];
      condition = (row) => one(row) || other(row);
    }
    return condition;
  }

  #both(): Condition {
    let condition = this.#one();
    while (this.#takes('and')) {
      const [one, other] = [condition, this.#one()];
      condition = (row) => one(row) && other(row);
    }
    return condition;
  }

  #one(): Condition {
    if (this.#takes('not')) {
      const condition = this.#one();
      return (row) => !condition(row);
    }
    if (this.#takes('(')) {
      const condition = this.#either();
      this.#expect(')');
      return condition;
    }
    if (this.#takes('ispresent')) {
      this.#expect('(');
      const name = nameOf(this.#next());
      this.#expect(')');
      return (row) => row(name) !== undefined;
    }
    const name = nameOf(this.#next());
    const operator = this.#next();
    switch (operator) {
      case '=':
        return this.#comparison(name, (order) => order === 0);
      case '!=':
        return this.#comparison(name, (order) => order !== 0);
      case '<':
        return this.#comparison(name, (order) => order < 0);
      case '<=':
        return this.#comparison(name, (order) => order <= 0);
      case '>':
        return this.#comparison(name, (order) => order > 0);
      case '>=':
        return this.#comparison(name, (order) => order >= 0);
      case 'like': {
        const token = this.#next();
        const pattern = token.startsWith('/') ? new RegExp(token.slice(1, -1)) : undefined;
        const text = pattern ? '' : String(literalOf(token));
        return (row) => {
          const value = String(row(name) ?? '');
          return pattern ? pattern.test(value) : value.includes(text);
        };
      }
      case 'in': {
        this.#expect('[');
        const values = [literalOf(this.#next())];
        while (this.#takes(',')) values.push(literalOf(this.#next()));
        this.#expect(']');
        return (row) => values.some((value) => compare(row(name), value) === 0);
      }
      default:
        throw malformed(operator);
    }
  }

  /** A row without the field satisfies no comparison. */
  #comparison(name: string, holds: (order: number) => boolean): Condition {
    const value = literalOf(this.#next());
    return (row) => {
      const own = row(name);
      return own !== undefined && holds(compare(own, value));
    };
  }

  #takes(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }

  #expect(token: string): void {
    if (!this.#takes(token)) throw malformed(this.#tokens[this.#at] ?? 'the end of the query');
  }

  #next(): string {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw malformed('the end of the query');
    this.#at += 1;
    return token;
  }
}

function literalOf(token: string): string | number {
  if (/^["']/.test(token)) return token.slice(1, -1).replace(/\\(.)/g, '$1');
  const number = Number(token);
  if (Number.isNaN(number)) throw malformed(token);
  return number;
}
