import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { EVENTS } from '../../functions/contracts/events.ts';
import { eventDocument, schemasDocument } from './event-document.ts';

const DOCS = join(import.meta.dirname, '../../docs');

const introduction = readFileSync(join(import.meta.dirname, 'events-introduction.md'), 'utf8');

test('docs/events.md and docs/events.schema.json are what the contract says (npm run events-document writes them)', async () => {
  await expect(eventDocument(introduction)).toMatchFileSnapshot(join(DOCS, 'events.md'));
  await expect(schemasDocument()).toMatchFileSnapshot(join(DOCS, 'events.schema.json'));
});

test('every event has a section, and a schema that a validator takes and that closes the object', () => {
  const text = eventDocument(introduction);
  const schemas = JSON.parse(schemasDocument()) as Record<string, Record<string, unknown>>;
  const ajv = new Ajv({ strict: true, validateFormats: false });
  for (const [type, { $schema: _, ...schema }] of Object.entries(schemas)) {
    expect(text).toContain(`| \`${type}\` |`);
    expect(ajv.validateSchema(schema), type).toBe(true);
    expect(schema.additionalProperties, type).toBe(false);
    const properties = Object.values(schema.properties as Record<string, { description?: string }>);
    expect(
      properties.filter(({ description }) => !description),
      type,
    ).toEqual([]);
  }
  expect(Object.keys(schemas)).toEqual(Object.keys(EVENTS));
});
