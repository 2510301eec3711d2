import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { TestTenant } from './test-database.ts';

const BEGIN = {
  read: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
  write: 'BEGIN ISOLATION LEVEL READ COMMITTED',
} as const;

/** Begins a transaction as the tenant, as requests do. After a failure the transaction is rolled back. */
export async function enterTenant(
  client: pg.Client,
  { tenantId, epoch }: Pick<TestTenant, 'tenantId' | 'epoch'>,
  access: 'read' | 'write',
): Promise<void> {
  try {
    await client.query(`${BEGIN[access]}; SELECT tenancy.enter('${tenantId}', ${epoch}, '${access}')`);
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** Runs `work` in one transaction of the tenant's. */
export async function asTenant<Result>(
  client: pg.Client,
  tenant: Pick<TestTenant, 'tenantId' | 'epoch'>,
  access: 'read' | 'write',
  work: () => Promise<Result>,
): Promise<Result> {
  await enterTenant(client, tenant, access);
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** Between two looks: without it, looking takes the processor from what is awaited. */
const LOOK_EVERY_MS = 5;

/** Repeats the check until it is true: the work of another session resolves no promise. @throws after 30 s. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`it never came about that ${isSo}`);
    await delay(LOOK_EVERY_MS);
  }
}
