import * as z from 'zod/mini';
import { day, document, email, instant, pageParameters, searchText, uuid } from '../input-schemas.ts';
import { componentNames } from './component.ts';

export type JsonSchema = { [keyword: string]: unknown };

/** Inputs whose rule is code: what the document says of them instead. */
const KNOWN: ReadonlyMap<z.core.$ZodType, JsonSchema> = new Map<z.core.$ZodType, JsonSchema>([
  [uuid, { type: 'string', format: 'uuid' }],
  [email, { type: 'string', format: 'email', maxLength: 255 }],
  [day, { type: 'string', format: 'date' }],
  [
    instant,
    {
      type: 'string',
      format: 'date-time',
      description: 'RFC 3339 with an offset below 16 hours and at most six decimals of a second.',
    },
  ],
  [document, { type: 'object', additionalProperties: true }],
  [pageParameters.limit, { type: 'integer', minimum: 1, maximum: 200, default: 50 }],
  [
    pageParameters.cursor,
    { type: 'string', minLength: 1, maxLength: 512, description: 'The `nextCursor` of the page before.' },
  ],
  [
    searchText,
    {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description: 'A text that one of the searched fields contains, whatever its case.',
    },
  ],
]);

/** Formats that say more than the pattern that zod adds to them. */
const FORMATS = new Set(['date', 'date-time', 'email', 'uuid']);

/**
 * Makes JSON Schemas (2020-12, as OpenAPI 3.1 takes them) of zod's. Schemas that have a name come out as references, and once
 * as a component.
 */
export class JsonSchemas {
  /** By name. */
  readonly components = new Map<string, JsonSchema>();

  /** The schema of what a client sends. */
  ofInput(schema: z.core.$ZodType): JsonSchema {
    return this.#convert(schema, rulesInText);
  }

  /** The schema of what a client gets. Objects are open: a later release may add members. */
  ofAnswer(schema: z.core.$ZodType): JsonSchema {
    return this.#convert(schema, () => {});
  }

  /** Names a schema, and returns the reference to it. */
  name(name: string, schema: JsonSchema): JsonSchema {
    const known = this.components.get(name);
    if (known && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(`two schemas have the name ${name}`);
    }
    this.components.set(name, schema);
    return { $ref: `#/components/schemas/${name}` };
  }

  #convert(
    schema: z.core.$ZodType,
    describe: (schema: z.core.$ZodType, json: JsonSchema) => void,
  ): JsonSchema {
    // As an element, because only inner schemas become references.
    const { items, $defs = {} } = z.toJSONSchema(z.array(schema), {
      // Of an answer too: no answer is transformed, and the output of an object would be closed.
      io: 'input',
      metadata: componentNames,
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema }) => {
        const json = jsonSchema as JsonSchema;
        tidy(zodSchema, json);
        describe(zodSchema, json);
        const known = KNOWN.get(zodSchema);
        if (known) replace(json, known);
      },
    });
    for (const [name, { id: _, ...definition }] of Object.entries($defs)) {
      this.name(name, referring(definition) as JsonSchema);
    }
    return referring(items) as JsonSchema;
  }
}

function replace(json: JsonSchema, by: JsonSchema): void {
  for (const keyword of Object.keys(json)) delete json[keyword];
  Object.assign(json, by);
}

function tidy(schema: z.core.$ZodType, json: JsonSchema): void {
  if (FORMATS.has(json.format as string)) delete json.pattern;
  if (json.type === 'integer') {
    if (json.minimum === Number.MIN_SAFE_INTEGER) delete json.minimum;
    if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum;
  }
  if (JSON.stringify(json.propertyNames) === '{"type":"string"}') delete json.propertyNames;
  const { def } = (schema as z.core.$ZodTypes)._zod;
  // A text that is normalized before it is compared with the allowed ones.
  if (def.type === 'pipe' && (def.out as z.core.$ZodTypes)._zod.def.type === 'enum') {
    replace(json, { type: 'string', enum: [...((def.out as z.core.$ZodEnum)._zod.values ?? [])] });
  }
}

/**
 * Adds what refinements demand: their JSON Schema, given as their `params`, and the texts of their errors as the
 * description.
 */
function rulesInText(schema: z.core.$ZodType, json: JsonSchema): void {
  const rules: string[] = [];
  for (const check of schema._zod.def.checks ?? []) {
    const def = check._zod.def as z.core.$ZodCustomDef;
    if (def.check !== 'custom') continue;
    Object.assign(json, def.params);
    // These need no words.
    if (def.params && ('maxLength' in def.params || 'minLength' in def.params)) continue;
    const text = def.error?.({} as never);
    const rule = typeof text === 'object' ? text?.message : text;
    if (rule) rules.push(rule);
  }
  if (rules.length > 0) json.description = `${capitalized(rules.join('; '))}.`;
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** With references to the document's components. */
function referring(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(referring);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) =>
      key === '$ref' && typeof member === 'string'
        ? [key, member.replace('#/$defs/', '#/components/schemas/')]
        : [key, referring(member)],
    ),
  );
}
