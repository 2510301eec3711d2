/** docs/events.md: the written part, and the schemas of functions/contracts/events.ts. */
import * as z from 'zod/mini';
import {
  commonFields,
  EVENT_SCHEMA_VERSION,
  EVENTS,
  type EventType,
  eventDetail,
  fieldMeanings,
} from '../../functions/contracts/events.ts';

type JsonSchema = Record<string, unknown>;

/** Sections of the document, in this order, by the beginnings of the events' names. */
const SECTIONS: readonly (readonly [title: string, beginnings: RegExp])[] = [
  ['Tenants', /^Tenant/],
  ['Moves', /^Move/],
  ['Restores', /^Restore/],
  ['Backups', /^Backup/],
  ['Exports', /^Export/],
  ['Rollouts', /^Rollout/],
  ['Offers', /^Offer/],
  ['Usage', /^Usage/],
  ['Alerts', /^Alert/],
];

/** The JSON Schema of an event's `detail`. */
export function jsonSchemaOf(type: EventType): JsonSchema {
  const schema = z.toJSONSchema(eventDetail(type), {
    metadata: fieldMeanings,
    override({ jsonSchema }) {
      // The format says it, and the pattern is a line long.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  }) as JsonSchema;
  return { ...schema, title: type };
}

/** docs/events.schema.json: one line for each event. */
export function schemasDocument(): string {
  const lines = (Object.keys(EVENTS) as EventType[]).map(
    (type) => `  ${JSON.stringify(type)}: ${JSON.stringify(jsonSchemaOf(type))}`,
  );
  return `{\n${lines.join(',\n')}\n}\n`;
}

/** @param introduction the written part */
export function eventDocument(introduction: string): string {
  const types = Object.keys(EVENTS) as EventType[];
  const sections = SECTIONS.map(([title, beginnings]) => {
    const of = types.filter((type) => beginnings.test(type));
    const rows = of.map((type) => `| \`${type}\` | ${EVENTS[type].meaning} |`);
    return [`### ${title}`, ['| event | when |', '|---|---|', ...rows].join('\n'), ...groups(of)].join(
      '\n\n',
    );
  });
  return [
    introduction.trimEnd(),
    '## Fields of every event',
    fieldTable(commonFields),
    '## Events',
    ...sections,
    '## JSON Schemas',
    `Version ${EVENT_SCHEMA_VERSION}, of \`detail\`, by \`detail-type\`: [events.schema.json](events.schema.json).`,
    '',
  ].join('\n\n');
}

/** One table for events with the same fields. */
function groups(types: readonly EventType[]): string[] {
  const byFields = new Map<string, EventType[]>();
  for (const type of types) {
    const table = fieldTable(EVENTS[type].facts);
    byFields.set(table, [...(byFields.get(table) ?? []), type]);
  }
  return [...byFields].flatMap(([table, of]) => [
    of.length === types.length ? 'Their fields:' : `Fields of ${of.map((type) => `\`${type}\``).join(', ')}:`,
    table,
  ]);
}

function fieldTable(fields: Readonly<Record<string, z.core.$ZodType>>): string {
  const rows = Object.entries(fields).map(([name, schema]) => {
    const { description = '' } = fieldMeanings.get(schema) ?? {};
    return `| \`${name}\` | ${typeText(z.toJSONSchema(schema) as JsonSchema)} | ${description} |`;
  });
  return ['| field | type | meaning |', '|---|---|---|', ...rows].join('\n');
}

function typeText(schema: JsonSchema): string {
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((one) => typeText(one as JsonSchema)).join(' or ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (Array.isArray(schema.enum)) return schema.enum.map((one) => `\`${one}\``).join(', ');
  if (schema.type === 'array') return `list of ${typeText(schema.items as JsonSchema)}`;
  if (schema.format !== undefined) return String(schema.format);
  return [schema.type].flat().join(' or ');
}
