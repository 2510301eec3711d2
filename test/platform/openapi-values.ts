/** Values that fit a JSON Schema, and values that do not. */
import type { JsonSchema } from './openapi-document.ts';
import { unique } from './running-platform.ts';

/** Ids of resources that the caller knows, by the name of the field or parameter that takes them. */
export type KnownIds = ReadonlyMap<string, string>;

const NOBODY = '00000000-0000-4000-8000-000000000000';

/** What a field is left out for: its id is not known. */
export const NOTHING = Symbol('no value');

/**
 * A value that the schema takes. Optional fields are filled too, except ids that are not known.
 * @param name of the field: an id is looked up by it.
 */
export function fittingValue(schema: JsonSchema, name: string, ids: KnownIds): unknown {
  const { type, enum: allowed, anyOf, format } = schema;
  if ('const' in schema) return schema.const;
  if (Array.isArray(allowed)) return allowed[0];
  if (Array.isArray(anyOf)) return fittingValue(notNull(anyOf), name, ids);
  if (Array.isArray(type))
    return fittingValue({ ...schema, type: type.find((one) => one !== 'null') }, name, ids);
  switch (type) {
    case 'string':
      if (format === 'uuid') return ids.get(name) ?? NOTHING;
      return fittingText(schema, name);
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return true;
    case 'array': {
      const item = fittingValue((schema.items ?? {}) as JsonSchema, name, ids);
      return item === NOTHING ? [] : [item];
    }
    case 'object':
      return fittingObject(schema, ids);
    default:
      return {};
  }
}

function fittingObject(schema: JsonSchema, ids: KnownIds): unknown {
  const required = new Set((schema.required ?? []) as string[]);
  const object: Record<string, unknown> = {};
  for (const [name, property] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)) {
    const value = fittingValue(property, name, ids);
    if (value !== NOTHING) object[name] = value;
    else if (required.has(name)) object[name] = NOBODY;
  }
  return object;
}

function fittingText({ format, pattern, maxLength = 200 }: JsonSchema, name: string): string {
  const texts: Readonly<Record<string, string>> = {
    email: `${unique('e')}@example.test`,
    date: '2026-01-31',
    'date-time': '2026-01-31T09:00:00Z',
  };
  const text = texts[format as string] ?? unique(name.toLowerCase()).slice(0, maxLength as number);
  if (pattern !== undefined && !new RegExp(pattern as string, 'u').test(text)) {
    throw new Error(`${name} must match ${pattern}: give a sample in openapi-samples.ts`);
  }
  return text;
}

const notNull = (schemas: readonly JsonSchema[]): JsonSchema =>
  schemas.find(({ type }) => type !== 'null') ?? {};

/** A body that has one error, and where. */
export interface WrongBody {
  readonly what: string;
  readonly body: unknown;
  /** JSON pointer. */
  readonly pointer: string;
}

/**
 * Bodies that are right but for one place: every field with wrong values, without each required field, and with an unknown
 * one; so too inside of objects and of the first entries of lists.
 */
export function* wrongBodies(schema: JsonSchema, valid: unknown, ids: KnownIds): Iterable<WrongBody> {
  const { inner } = unwrapped(schema);
  if (inner.type === 'array') {
    const items = (inner.items ?? {}) as JsonSchema;
    const first = Array.isArray(valid) && valid.length > 0 ? valid[0] : fittingValue(items, 'entry', ids);
    yield* below('0', items, first, (entry) => [entry], ids);
  }
  if (inner.type !== 'object' || inner.properties === undefined) return;
  const object = isObject(valid) ? valid : (fittingValue(inner, '', ids) as Record<string, unknown>);
  if (inner.additionalProperties === false) {
    yield { what: 'an unknown field', body: { ...object, colour: 'red' }, pointer: '/colour' };
  }
  for (const name of (inner.required ?? []) as string[]) {
    const { [name]: _, ...rest } = object;
    yield { what: 'nothing', body: rest, pointer: `/${name}` };
  }
  for (const [name, property] of Object.entries(inner.properties as Record<string, JsonSchema>)) {
    yield* below(name, property, object[name], (value) => ({ ...object, [name]: value }), ids);
  }
}

function* below(
  key: string,
  schema: JsonSchema,
  valid: unknown,
  inside: (value: unknown) => unknown,
  ids: KnownIds,
): Iterable<WrongBody> {
  for (const [what, value] of wrongValues(schema)) yield { what, body: inside(value), pointer: `/${key}` };
  for (const { what, body, pointer } of wrongBodies(schema, valid, ids)) {
    yield { what, body: inside(body), pointer: `/${key}${pointer}` };
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Schemas of one field without `null`, and whether the field may be null. */
function unwrapped(schema: JsonSchema): { readonly inner: JsonSchema; readonly isNullable: boolean } {
  const { anyOf, type } = schema;
  if (Array.isArray(anyOf)) {
    const types = anyOf.filter((one) => one.type !== 'null');
    // What fits none of several types is not derived.
    return { inner: types.length === 1 ? types[0] : {}, isNullable: types.length < anyOf.length };
  }
  if (Array.isArray(type)) {
    const types = type.filter((one) => one !== 'null');
    return {
      inner: types.length === 1 ? { ...schema, type: types[0] } : {},
      isNullable: types.length < type.length,
    };
  }
  return { inner: schema, isNullable: false };
}

/** JSON values that the schema refuses, each with a word for it. */
export function wrongValues(schema: JsonSchema): [what: string, value: unknown][] {
  const { inner, isNullable } = unwrapped(schema);
  const wrong: [string, unknown][] = [];
  if (!isNullable && inner.type !== undefined) wrong.push(['null', null]);
  switch (inner.type) {
    case 'string':
      wrong.push(['a number', 7], ['an object', {}]);
      if (inner.enum !== undefined || inner.const !== undefined) wrong.push(['an unknown value', 'nonsense']);
      if (inner.format !== undefined) wrong.push(['another form', 'nonsense']);
      if (inner.format === 'date') wrong.push(['a day that does not exist', '2025-02-30']);
      if (inner.format === 'uuid') wrong.push(['a UUID with a wrong digit', NOBODY.replace(/0$/, 'g')]);
      if (typeof inner.maxLength === 'number')
        wrong.push(['an over-long string', 'x'.repeat(inner.maxLength + 1)]);
      if (((inner.minLength as number | undefined) ?? 0) > 0) wrong.push(['an empty string', '']);
      wrong.push(['a NUL character', 'a\u0000b']);
      break;
    case 'integer':
      wrong.push(['a fraction', 1.5]);
      wrong.push(['a string', '7'], ...wrongNumbers(inner));
      break;
    case 'number':
      wrong.push(['a string', '7'], ...wrongNumbers(inner));
      break;
    case 'boolean':
      wrong.push(['a string', 'true'], ['a number', 1]);
      break;
    case 'array':
      wrong.push(['an object', {}], ['a string', 'x']);
      if (typeof inner.maxItems === 'number') {
        wrong.push(['too many entries', Array.from({ length: inner.maxItems + 1 }, () => 'x')]);
      }
      break;
    case 'object':
      wrong.push(['a list', []], ['a string', 'x'], ['a number', 7]);
      break;
  }
  return wrong;
}

function wrongNumbers({
  minimum,
  maximum,
  exclusiveMinimum,
  exclusiveMaximum,
}: JsonSchema): [string, unknown][] {
  return [
    ...(typeof minimum === 'number'
      ? [['a number below the minimum', minimum - 1] as [string, unknown]]
      : []),
    ...(typeof maximum === 'number'
      ? [['a number above the maximum', maximum + 1] as [string, unknown]]
      : []),
    ...(typeof exclusiveMinimum === 'number' ? [['the minimum', exclusiveMinimum] as [string, unknown]] : []),
    ...(typeof exclusiveMaximum === 'number' ? [['the maximum', exclusiveMaximum] as [string, unknown]] : []),
  ];
}

/** Texts of a query parameter that the schema refuses. */
export function wrongTexts(name: string, schema: JsonSchema): [what: string, text: string][] {
  const { inner } = unwrapped(schema);
  const wrong: [string, string][] = [['an empty text', '']];
  if (inner.type === 'integer') {
    wrong.push(['no number', 'ten'], ['a fraction', '1.5']);
    wrong.push(...wrongNumbers(inner).map(([what, value]): [string, string] => [what, String(value)]));
  }
  if (inner.type === 'boolean' || inner.enum !== undefined) wrong.push(['an unknown value', 'nonsense']);
  if (inner.format !== undefined) wrong.push(['another form', 'nonsense']);
  if (name === 'cursor')
    wrong.push(['no cursor', 'nonsense'], ['another list’s', Buffer.from('["a","b"]').toString('base64url')]);
  if (typeof inner.maxLength === 'number') wrong.push(['an over-long text', 'x'.repeat(inner.maxLength + 1)]);
  if (inner.type === 'string') wrong.push(['a NUL character', 'a\u0000b']);
  return wrong;
}
