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
  readonly timings: Readonly<Record<Way, Timing>>;
}

/**
 * BEGIN, `tenancy.enter(…, 'write')`, an UPDATE by key, COMMIT: through the sessions of production, and on a plain
 * connection; and the same without `enter`. All pipelined, over TLS.
 */
type Way = 'session' | 'entered' | 'plain';

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
    host: address.host,
    port: address.port,
    database: address.database,
    user: tenant.roleName,
    password: PASSWORD,
    pipeline: true,
    ssl: { rejectUnauthorized: true, minVersion: 'TLSv1.2' },
  };
  const [entered, plain] = [new pg.Client(configuration), new pg.Client(configuration)];
  await Promise.all([entered.connect(), plain.connect()]);
  const id = inTurn(ids);
  const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED';
  const text = `UPDATE ${tenant.schemaName}.employees SET job_title = $1 WHERE employee_id = $2 RETURNING job_title`;
  const write = (client: pg.Client, opening: string) =>
    Promise.all([client.query(opening), client.query(text, ['Engineer', id()]), client.query('COMMIT')]);
  const ways: Contestants<Way> = {
    session: () =>
      runTenantBatch(pools, address, { tenantId: tenant.tenantId, epoch: 1 }, 'write', [statement()]),
    entered: () => write(entered, `${begin}; SELECT tenancy.enter('${tenant.tenantId}', 1, 'write')`),
    plain: () => write(plain, begin),
  };
  return {
    contestants: ways,
    end: async () => {
      await Promise.all([pools.end(), entered.end(), plain.end()]);
    },
  };
}
