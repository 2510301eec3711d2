import { DatabasePools } from '../../functions/database/session/pools.ts';
import { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../functions/placement/tenant-router.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { BenchRegistry } from './bench-registry.ts';
import { type BenchDatabase, BenchServer, type BenchTenant, benchCredentials } from './bench-server.ts';
import { inTurn } from './in-turn.ts';
import { interleave, quantile, type Timing } from './interleave.ts';

/** One database with so many tenants of a kind, of which ten are active. */
export interface TenantCount {
  readonly kind: 'business' | 'starter';
  readonly tenants: number;
  readonly timing: Timing;
}

export interface TenantCounts {
  readonly counts: readonly TenantCount[];
  /** Of `createTenantSchema` in the largest database, in milliseconds: its first and its last twentieth. */
  readonly createSchemaMs: { readonly first: number; readonly last: number };
}

const ACTIVE = 10;
const EMPLOYEES = 20;
/** As `http/runtime.ts` has it. */
const POOL_CAP = 40;

/**
 * Reads of employees of ten active tenants, by way of directory, router, pools and session, while the databases hold
 * more and more tenants beside them. The databases stand side by side and take turns request by request.
 */
export async function measureTenantCounts(quick: boolean): Promise<TenantCounts> {
  const schemas = quick ? [10, 40, 120] : [10, 190, 1_000];
  const starters = quick ? [10, 1_000] : [10, 10_000];
  const servers: BenchServer[] = [];
  const pools: DatabasePools[] = [];
  try {
    const contestants: Record<string, () => Promise<unknown>> = {};
    const created: number[] = [];
    const add = async (key: string, database: BenchDatabase, tenants: readonly BenchTenant[]) => {
      const own = new DatabasePools(benchCredentials, { cap: POOL_CAP, pipeline: true });
      pools.push(own);
      contestants[key] = await readsOf(database, spread(tenants), own);
    };
    // A server for each number of schemas: roles, too, are as many as the tenants.
    for (const count of schemas) {
      const server = await startInto(servers);
      const database = await server.createDatabase('strata');
      const tenants: BenchTenant[] = [];
      for (let made = 0; made < count; made++) {
        const start = performance.now();
        tenants.push(await database.addSchemaTenant(EMPLOYEES));
        if (count === schemas.at(-1)) created.push(performance.now() - start);
      }
      await add(`business ${count}`, database, tenants);
    }
    for (const count of starters) {
      const server = await startInto(servers);
      const database = await server.createDatabase('strata');
      await add(`starter ${count}`, database, await database.addSharedTenants(count, EMPLOYEES));
    }
    const timings = await interleave(contestants, { rounds: quick ? 400 : 3_000, warmup: quick ? 100 : 500 });
    const part = Math.ceil(created.length / 20);
    return {
      counts: Object.entries(timings).map(([key, timing]) => {
        const [kind, tenants] = key.split(' ') as [TenantCount['kind'], string];
        return { kind, tenants: Number(tenants), timing };
      }),
      createSchemaMs: {
        first: quantile(created.slice(0, part), 0.5),
        last: quantile(created.slice(-part), 0.5),
      },
    };
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function startInto(servers: BenchServer[]): Promise<BenchServer> {
  const server = await BenchServer.start();
  servers.push(server);
  return server;
}

/** Ten of them, from all over the database and not from its beginning. */
function spread(tenants: readonly BenchTenant[]): BenchTenant[] {
  return Array.from(
    { length: ACTIVE },
    (_, index) => tenants[Math.floor((index * tenants.length) / ACTIVE)] as BenchTenant,
  );
}

async function readsOf(
  database: BenchDatabase,
  tenants: readonly BenchTenant[],
  pools: DatabasePools,
): Promise<() => Promise<unknown>> {
  const registry = new BenchRegistry();
  for (const tenant of tenants) registry.routeTo(tenant.tenantId, database.route(tenant));
  const router = new TenantRouter(new TenantDirectory(registry), pools);
  const targets: { access: TenantAccess; employeeId: () => string }[] = [];
  for (const tenant of tenants) {
    targets.push({
      access: new TenantAccess(tenant.tenantId, tenant.tenantId, router),
      employeeId: inTurn(await database.employeeIds(tenant)),
    });
  }
  const target = inTurn(targets);
  return () => {
    const { access, employeeId } = target();
    return employees.get(access, { employee_id: employeeId() });
  };
}
