import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import { parseSql } from './sql-statement.ts';

/** A statement ready for PostgreSQL's extended protocol. */
export interface BoundStatement {
  text: string;
  values: (string | Buffer | null)[];
  /** Translates a 1-based position in `text` to the position in the caller's SQL. */
  originalPosition(position: number): number;
}

interface Bound {
  value: string | Buffer | null;
  /** Declared type of the parameter; none for NULL, whose type PostgreSQL infers. */
  type: string | undefined;
}

/**
 * Binds values as strictly as the Data API does: each has the type of its member, so a comparison of a string with a
 * uuid column fails without a cast or a type hint, as in AWS.
 * @throws {AwsError} BadRequestException for missing, repeated or malformed parameters
 */
export function bindParameters(sql: string, parameters: Input[]): BoundStatement {
  const given = new Map<string, Bound>();
  for (const parameter of parameters) {
    const name = parameter.text('name') ?? '';
    if (given.has(name)) throw badRequest(`Parameter ${name} is given twice`);
    given.set(name, boundValue(name, parameter));
  }
  const values: BoundStatement['values'] = [];
  const numbers = new Map<string, number>();
  /** Offset between the two texts: from `after` on, the rewritten one is `shift` characters longer. */
  const drifts: { after: number; shift: number }[] = [];
  let text = '';
  let shift = 0;
  for (const part of parseSql(sql).parts) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const bound = given.get(part.parameter);
    if (!bound) throw badRequest(`Cannot find parameter: ${part.parameter}`);
    let number = numbers.get(part.parameter);
    if (number === undefined) {
      values.push(bound.value);
      number = values.length;
      numbers.set(part.parameter, number);
    }
    const written = bound.type === undefined ? `$${number}` : `$${number}::${bound.type}`;
    text += written;
    shift += written.length - part.parameter.length - 1;
    drifts.push({ after: text.length, shift });
  }
  return {
    text,
    values,
    originalPosition: (position) =>
      position - (drifts.findLast((drift) => position > drift.after)?.shift ?? 0),
  };
}

/** The conversion of a string by each type hint, and the only format that it accepts. */
const HINTS: Record<string, { type: string; shape?: RegExp }> = {
  UUID: { type: 'uuid', shape: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i },
  JSON: { type: 'json' },
  DECIMAL: { type: 'numeric' },
  DATE: { type: 'date', shape: /^\d{4}-\d{2}-\d{2}$/ },
  TIME: { type: 'time', shape: /^\d{2}:\d{2}:\d{2}(\.\d{1,6})?$/ },
  TIMESTAMP: { type: 'timestamp', shape: /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?$/ },
};

function boundValue(name: string, parameter: Input): Bound {
  const field = parameter.structure('value');
  const members = Object.entries(field?.members ?? {}).filter(([, value]) => value !== undefined);
  const only = members[0];
  if (members.length !== 1 || !only) {
    throw badRequest(`Parameter ${name}: a value must have exactly one member`);
  }
  const [kind, value] = only;
  switch (kind) {
    case 'isNull':
      if (value !== true) throw badRequest(`Parameter ${name}: isNull must be true`);
      return { value: null, type: undefined };
    case 'stringValue':
      return boundText(name, String(value), parameter.text('typeHint'));
    case 'longValue':
      if (typeof value !== 'bigint' && !Number.isInteger(value))
        throw badRequest(`Parameter ${name}: longValue must be an integer`);
      return { value: String(value), type: 'int8' };
    case 'doubleValue':
      return { value: String(value), type: 'float8' };
    case 'booleanValue':
      return { value: String(value), type: 'bool' };
    case 'blobValue':
      return { value: Buffer.from(String(value), 'base64'), type: 'bytea' };
    default:
      throw badRequest(`Parameter ${name}: ${kind} is not supported as a parameter`);
  }
}

function boundText(name: string, value: string, typeHint: string | undefined): Bound {
  if (typeHint === undefined) return { value, type: 'text' };
  const hint = HINTS[typeHint];
  if (!hint) throw badRequest(`Parameter ${name}: unknown typeHint ${typeHint}`);
  if (hint.shape && !hint.shape.test(value)) {
    throw badRequest(`Parameter ${name}: the value does not have the format of a ${typeHint}`);
  }
  return { value, type: hint.type };
}

function badRequest(message: string): AwsError {
  return new AwsError('BadRequestException', message);
}
