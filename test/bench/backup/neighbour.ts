import { DatabasePools } from '../../../functions/database/session/pools.ts';
import { TenantDirectory } from '../../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../../functions/placement/tenant-router.ts';
import { BenchRegistry } from '../bench-registry.ts';
import { type BenchTenant, benchCredentials } from '../bench-server.ts';
import { quantile } from '../interleave.ts';
import { PacedLoad } from '../move/paced-load.ts';
import { neighbourRequests } from '../move/tenant-requests.ts';
import type { BackupBench } from './backup-bench.ts';

export const REQUESTS_PER_SECOND = 150;
const TENANTS = 50;
const ROUNDS = 3;
/** Of the load without a backup, before each one. */
const QUIET_MS = 5_000;

/** Milliseconds. */
export interface NeighbourCost {
  readonly requests: number;
  readonly failed: number;
  readonly quietP99: number;
  readonly duringP99: number;
}

/** Requests of Starter tenants of the same cell, by the clock, half of them writes: without a backup, and during some. */
export async function measureNeighbour(bench: BackupBench, tenant: BenchTenant): Promise<NeighbourCost> {
  const neighbours = await bench.cell.addSharedTenants(TENANTS, 20);
  const registry = new BenchRegistry();
  const pools = new DatabasePools(benchCredentials, { cap: 40, pipeline: true });
  const router = new TenantRouter(new TenantDirectory(registry), pools);
  const container = {
    access: (_: unknown, { tenantId, ...rest }: BenchTenant) => {
      registry.routeTo(tenantId, bench.cell.route({ tenantId, ...rest }));
      return new TenantAccess(tenantId, tenantId, router);
    },
  };
  const request = await neighbourRequests(container, bench.cell, neighbours);
  const [quiet, during]: [number[], number[]] = [[], []];
  let failed = 0;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const load = new PacedLoad(REQUESTS_PER_SECOND, request);
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      const from = performance.now();
      const { location, copied } = await bench.backUp(tenant);
      await load.stop();
      quiet.push(...load.between(from - QUIET_MS + 1_000, from));
      during.push(...load.between(copied.from, copied.to));
      failed += load.failures.length;
      await bench.discard(location);
    }
  } finally {
    await pools.end();
  }
  return {
    requests: quiet.length + during.length,
    failed,
    quietP99: quantile(quiet, 0.99),
    duringP99: quantile(during, 0.99),
  };
}
