import pg from 'pg';
import { DatabasePools } from '../../../functions/database/session/pools.ts';
import { runTenantBatch } from '../../../functions/database/session/tenant-session.ts';
import { tenantSql } from '../../../functions/database/session/tenant-sql.ts';
import {
  type BenchDatabase,
  BenchServer,
  type BenchTenant,
  benchCredentials,
  PASSWORD,
} from '../bench-server.ts';
import { inTurn } from '../in-turn.ts';
import { type Contestants, interleave, type Timing } from '../interleave.ts';
import { durable } from './durable-settings.ts';

export interface ProtocolCost {
  readonly storage: 'durable' | 'without waiting for the disk';
  /** BEGIN, `tenancy.enter(…, 'write')`, an UPDATE by key, COMMIT; and the same without `enter`. Both pipelined, over TLS. */
  readonly timings: Readonly<Record<'entered' | 'plain', Timing>>;
}

/** What the placement protocol costs a write while nothing moves. */
export async function measureProtocolCost(quick: boolean): Promise<ProtocolCost[]> {
  const costs: ProtocolCost[] = [];
  for (const [storage, settings] of [
    ['durable', durable],
    ['without waiting for the disk', {}],
  ] as const) {
    const server = await BenchServer.start(settings);
    try {
      const database = await server.createDatabase('strata');
      const tenant = await database.addSchemaTenant(50);
      const ways = await contestants(database, tenant);
      const rounds = quick ? 200 : 2_000;
      costs.push({ storage, timings: await interleave(ways.contestants, { rounds, warmup: rounds / 5 }) });
      await ways.end();
    } finally {
      await server.stop();
    }
  }
  return costs;
}

async function contestants(database: BenchDatabase, tenant: BenchTenant) {
  const ids = await database.employeeIds(tenant);
  const pools = new DatabasePools(benchCredentials, { cap: 2, pipeline: true });
  const address = database.address(tenant);
  const statement = inTurn(
    ids.map((employeeId) =>
      tenantSql
        .updateTable('employees')
        .set({ job_title: 'Engineer' })
        .where('employee_id', '=', employeeId)
        .returning('job_title'),
    ),
  );
  const configuration: pg.ClientConfig & { pipeline: boolean } = {
    ...{ host: address.host, port: address.port, database: address.database },
    ...{ user: tenant.roleName, password: PASSWORD, pipeline: true },
    ssl: { rejectUnauthorized: true, minVersion: 'TLSv1.2' },
  };
  const plain = new pg.Client(configuration);
  await plain.connect();
  const id = inTurn(ids);
  const text = `UPDATE ${tenant.schemaName}.employees SET job_title = $1 WHERE employee_id = $2 RETURNING job_title`;
  const ways: Contestants<'entered' | 'plain'> = {
    entered: () =>
      runTenantBatch(pools, address, { tenantId: tenant.tenantId, epoch: 1 }, 'write', [statement()]),
    plain: () =>
      Promise.all([
        plain.query('BEGIN ISOLATION LEVEL READ COMMITTED'),
        plain.query(text, ['Engineer', id()]),
        plain.query('COMMIT'),
      ]),
  };
  return {
    contestants: ways,
    end: async () => {
      await Promise.all([pools.end(), plain.end()]);
    },
  };
}
