import { afterAll, beforeAll } from 'vitest';
import { TestDatabase } from './test-database.ts';

/**
 * A registry for the tests of a file or of a `describe`: made before the first test, dropped after the last one.
 * @param connect keeps the connections that the tests use; they end with the registry.
 */
export function ownRegistry(connect: (registry: TestDatabase) => Promise<unknown>): void {
  let database: TestDatabase | undefined;
  beforeAll(async () => {
    database = await TestDatabase.cloneRegistry();
    await connect(database);
  });
  afterAll(() => database?.drop());
}
