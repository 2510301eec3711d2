import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestDatabase } from '../test-database.ts';
import { readCatalogue, readFunctions } from './schema-catalogue.ts';
import { schemaDocument } from './schema-document.ts';

let [registry, data]: (TestDatabase | undefined)[] = [];
beforeAll(async () => {
  registry = await TestDatabase.cloneRegistry();
  data = await TestDatabase.clone();
});
afterAll(async () => {
  await registry?.drop();
  await data?.drop();
});

test('docs/database-schema.md is what bootstrap makes (npm run database-schema writes it)', async () => {
  const [ofRegistry, ofData] = [await registry!.connect('superuser'), await data!.connect('superuser')];
  const text = schemaDocument({
    registry: await readCatalogue(ofRegistry, 'public'),
    registryFunctions: await readFunctions(ofRegistry, 'public'),
    tenancy: await readCatalogue(ofData, 'tenancy'),
    tenancyFunctions: await readFunctions(ofData, 'tenancy'),
    shared: await readCatalogue(ofData, 'shared'),
  });
  await expect(text).toMatchFileSnapshot(join(import.meta.dirname, '../../docs/database-schema.md'));
});
