import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describe, expect, test } from 'vitest';
import { apiDocument } from '../../functions/api/openapi-document.ts';

const PROJECT = join(import.meta.dirname, '../..');
const document = apiDocument();
/** As `npm run openapi` prints it. */
const text = `${JSON.stringify(document, null, 2)}\n`;
const operations = Object.values(document.paths).flatMap((item) => Object.values(item));

describe('the document of the API', () => {
  test('has every route of the API, and no other', async () => {
    const contexts = globSync('functions/api/*/routes.ts', { cwd: PROJECT });
    const modules = await Promise.all(contexts.map((file) => import(join(PROJECT, file))));
    const routes = modules.flatMap(({ routes: each }) => Object.keys(each));
    const documented = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(contexts.length).toBeGreaterThanOrEqual(4);
    expect(documented.sort()).toEqual(routes.sort());
  });

  test('has no error and no warning for a linter', async () => {
    const config = await createConfig({ extends: ['recommended'], rules: { 'info-license-strict': 'off' } });
    const problems = await lintFromString({ source: text, config });
    const told = problems.map(
      ({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer}: ${message}`,
    );
    // The page and the document themselves need no refusal.
    expect(
      told.filter((line) => !/^operation-4xx-response #\/paths\/~1(health|docs|openapi\.json)\//.test(line)),
    ).toEqual([]);
  });

  test('names each tag that it explains, and explains each that it names', () => {
    const named = operations.flatMap(({ tags }) => tags);
    expect([...new Set(named)].sort()).toEqual(document.tags.map(({ name }) => name).sort());
  });

  test('says of each operation what it does, as an imperative without a full stop', () => {
    const odd = operations.filter(({ summary }) => !/^[A-Z][^.]{3,70}$/.test(summary));
    expect(odd.map(({ operationId }) => operationId)).toEqual([]);
  });

  test('takes no unknown field in any body', () => {
    const open = Object.entries(document.components.schemas).filter(
      ([name, { additionalProperties }]) => name.endsWith('Body') && additionalProperties !== false,
    );
    expect(open.map(([name]) => name)).toEqual([]);
  });

  test('has the rules of fields that only code can check', () => {
    const { schemas } = document.components;
    const fieldsOf = (name: string) => schemas[name]?.properties as Record<string, Record<string, unknown>>;
    expect(fieldsOf('EmployeesCreateBody')).toMatchObject({
      email: { type: 'string', format: 'email', maxLength: 255 },
      firstName: { type: 'string', minLength: 1, maxLength: 100 },
      managerId: { anyOf: [{ type: 'string', format: 'uuid' }, { type: 'null' }] },
      status: { enum: ['active', 'inactive', 'on_leave', 'terminated'] },
    });
    expect(schemas.EmployeesCreateBody?.required).toEqual(['email', 'firstName', 'lastName']);
    expect(fieldsOf('EmployeeSkillsCreateBody').yearsOfExperience).toMatchObject({
      anyOf: [
        { type: 'number', minimum: 0, maximum: 99.99, description: expect.stringContaining('two decimals') },
        { type: 'null' },
      ],
    });
  });

  test('has the columns of a resource with their types, lengths and allowed values', () => {
    expect(document.components.schemas.Employee).toMatchObject({
      type: 'object',
      properties: {
        employeeId: { type: 'string', format: 'uuid' },
        email: { type: 'string', maxLength: 255 },
        jobTitle: { anyOf: [{ type: 'string', maxLength: 255 }, { type: 'null' }] },
        hireDate: { anyOf: [{ type: 'string', format: 'date' }, { type: 'null' }] },
        createdAt: { type: 'string', format: 'date-time' },
      },
    });
    expect(document.components.schemas.Employee).not.toHaveProperty('properties.ssnEncrypted');
  });
});

test('the types of the CLI’s client are those of this document: npm run openapi:types', () => {
  const types = readFileSync(join(PROJECT, 'infra/cli/api-types.ts'), 'utf8');
  expect(types).toContain(createHash('sha256').update(text).digest('hex'));
});
