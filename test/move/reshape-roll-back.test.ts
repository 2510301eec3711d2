import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { isConnectionLost } from '../../functions/database/session/sql-state.ts';
import type { TenantTable } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { placeholderColumn, uniqueRules } from '../../functions/database/transfer/reshape/apply-changes.ts';
import { MoveAborted, MoveMismatch } from '../../functions/moves/errors.ts';
import { copyReshape } from '../../functions/moves/reshape/copy-reshape.ts';
import { rollBackReshape } from '../../functions/moves/reshape/roll-back-reshape.ts';
import { TenantUnreachable } from '../../functions/places/errors.ts';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { enterTenant, until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { catalogueOfMoves } from './catalogue-of-moves.ts';
import { addPeople, emailsAt } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshapeSteps } from './reshape-steps.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
let superuser: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
  superuser = await database.connect('superuser');
});
afterAll(async () => {
  await database.drop();
  await secrets.stop();
});

async function begin(model: 'shared' | 'schema'): Promise<{ tenant: TestTenant; log: StepLog }> {
  const tenant = await database.addTenant(model);
  await addPeople(database, placeOf(database, tenant), tenant.tenantId, 'before');
  const { tenantId } = tenant;
  const to = model === 'shared' ? 'schema' : 'shared';
  const target = await arrivalIn(database, secrets, to, { tenantId, epoch: 2 });
  return { tenant, log: new StepLog(hopOf('reshape', tenantId, placeOf(database, tenant), target)) };
}

describe.each(sampled<('shared' | 'schema')[]>(['shared'], ['shared', 'schema']))('from %s', (model) => {
  test('a row that differs at the target stops the move, and both sides are kept', async () => {
    const { tenant, log } = await begin(model);
    const { tenantId } = tenant;
    const { source, target } = log.hop;
    for (const step of ['prepare', 'copy', 'index'] as const) await log.run(reshapeSteps[step]);
    const mine = target.isolationModel === 'shared' ? `WHERE tenant_id = '${tenantId}'` : '';
    await superuser.query(`UPDATE ${target.schemaName}.employees SET first_name = 'Mallory' ${mine}`);
    await expect(log.run(reshapeSteps['catch-up'])).rejects.toThrow(MoveMismatch);
    const counted = await superuser.query(`SELECT first_name FROM ${target.schemaName}.employees ${mine}`);
    expect(counted.rows).toContainEqual({ first_name: 'Mallory' });
    const tables = log.kept.tables as { name: string; sourceHash: string; targetHash: string }[];
    const different = tables.filter(({ sourceHash, targetHash }) => sourceHash !== targetHash);
    expect(different.map(({ name }) => name)).toEqual(['employees']);
    expect(await emailsAt(database, source, tenantId)).toHaveLength(3);
  });

  test('a copy that is under way ends at once, and leaves nothing', async () => {
    const { tenant, log } = await begin(model);
    const { tenantId } = tenant;
    const { schemaName } = log.hop.source;
    await insertBulkRows(
      superuser,
      schemaName,
      sampled(20_000, 60_000),
      model === 'shared' ? tenantId : undefined,
    );
    await superuser.query('ANALYZE');
    const before = await catalogueOfMoves(superuser, tenantId);
    await log.run(reshapeSteps.prepare);
    const copying = expect(log.run(copyReshape)).rejects.toSatisfy(isConnectionLost);
    await vi.waitUntil(() => log.progress.some(({ rowsTotal = 0 }) => rowsTotal > 0), {
      timeout: 20_000,
      interval: 5,
    });
    const started = performance.now();
    await rollBackReshape(log.hop);
    const seconds = (performance.now() - started) / 1_000;
    await copying;
    expect(seconds).toBeLessThan(5);
    expect(log.kept.copiedRows).toBeUndefined();
    await until(async () => (await catalogueOfMoves(superuser, tenantId)).join() === before.join());
  });

  test('who asks to stop during the copy is heard', async () => {
    const { tenant, log } = await begin(model);
    const before = await catalogueOfMoves(superuser, tenant.tenantId);
    await log.run(reshapeSteps.prepare);
    log.onProgress = () => {
      throw new MoveAborted();
    };
    await expect(copyReshape(log.context())).rejects.toThrow(MoveAborted);
    await rollBackReshape(log.hop);
    await until(async () => (await catalogueOfMoves(superuser, tenant.tenantId)).join() === before.join());
  });
});

test('a target that lets nobody in is found out before the commit point', async () => {
  const { log } = await begin('shared');
  for (const step of ['prepare', 'copy', 'index'] as const) await log.run(reshapeSteps[step]);
  await superuser.query(`ALTER ROLE ${log.hop.target.roleName} NOLOGIN`);
  await expect(log.run(reshapeSteps['catch-up'])).rejects.toThrow(TenantUnreachable);
  await superuser.query(`ALTER ROLE ${log.hop.target.roleName} LOGIN`);
  await log.run(reshapeSteps['catch-up']);
});

test('a writer in flight is waited for, and what it notes is forgotten', async () => {
  const { tenant, log } = await begin('shared');
  const before = await catalogueOfMoves(superuser, tenant.tenantId);
  await log.run(reshapeSteps.prepare);
  const writer = await database.connect(tenant.login);
  await enterTenant(writer, tenant, 'write');
  const rollingBack = rollBackReshape(log.hop);
  await writer.query(`UPDATE employees SET first_name = 'late'`);
  await writer.query('COMMIT');
  await rollingBack;
  await until(async () => (await catalogueOfMoves(superuser, tenant.tenantId)).join() === before.join());
});

test('an attempt that is rolled back late touches nothing of the one that came after it', async () => {
  const { tenant, log } = await begin('schema');
  const { tenantId } = tenant;
  await log.run(reshapeSteps.prepare);
  await rollBackReshape(log.hop);
  const next = new StepLog(hopOf('reshape', tenantId, log.hop.source, log.hop.target, 2));
  for (const step of ['prepare', 'copy'] as const) await next.run(reshapeSteps[step]);
  await rollBackReshape(log.hop);
  for (const step of ['index', 'catch-up', 'cut-over'] as const) await next.run(reshapeSteps[step]);
  expect(await emailsAt(database, next.hop.target, tenantId)).toHaveLength(3);
});

test('every unique key and index has a column that takes a placeholder, or a value that leaves the index', () => {
  for (const table of tenantTables as readonly TenantTable[]) {
    for (const { columns, where } of uniqueRules(table)) {
      if (where && 'otherwise' in where) {
        const { allowedValues } = table.columns[where.column]?.spec ?? {};
        expect(allowedValues, table.name).toContain(where.otherwise);
        expect(where.otherwise).not.toBe(where.equals);
        continue;
      }
      const type = table.columns[placeholderColumn(table, columns)]?.spec.type ?? '';
      const length = Number(/\((\d+)\)/.exec(type)?.[1] ?? Number.POSITIVE_INFINITY);
      expect(length, table.name).toBeGreaterThanOrEqual(
        'moving '.length + 37 * (1 + table.primaryKey.length),
      );
    }
  }
});
