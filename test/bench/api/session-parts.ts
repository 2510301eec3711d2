import { DatabasePools } from '../../../functions/database/session/pools.ts';
import type { Statement } from '../../../functions/database/session/tenant-sql.ts';
import { TenantDirectory } from '../../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../../functions/placement/tenant-router.ts';
import type { Actor } from '../../../functions/tenant-data/audit-log.ts';
import { employees } from '../../../functions/tenant-data/employees.ts';
import { updateOne } from '../../../functions/tenant-data/resource-statements.ts';
import { TenantCache } from '../../../functions/tenant-data/tenant-cache.ts';
import { TestValkey } from '../../cache/test-valkey.ts';
import { type LocalKeys, startLocalKeys } from '../../encryption/local-keys.ts';
import { BenchRegistry } from '../bench-registry.ts';
import { BenchServer, type BenchTenant, benchCredentials } from '../bench-server.ts';
import { inTurn } from '../in-turn.ts';
import { interleave, type Timing } from '../interleave.ts';

/**
 * One employee at the tenant session, in one process. Reads: *database*, and *cached* (a hit), by a viewer; *opened*: by an
 * administrator, whose answer has two decrypted fields. Writes: *plain*, the bare statement in a session; *audited*, with its
 * entry; *sealed*, with its entry and an encrypted field; *invalidating*, an audited one with the cache.
 */
export type Part = 'database' | 'cached' | 'opened' | 'plain' | 'audited' | 'sealed' | 'invalidating';

export interface SessionParts {
  readonly model: 'shared' | 'schema';
  readonly timings: Readonly<Record<Part, Timing>>;
}

const EMPLOYEES = 50;
const viewer: Actor = {
  kind: 'user',
  userId: undefined,
  name: 'viewer@tenant.test',
  role: 'viewer',
  ipAddress: '127.0.0.1',
  userAgent: 'bench',
};
const admin: Actor = { ...viewer, name: 'admin@tenant.test', role: 'admin' };
const member: Actor = { ...viewer, name: 'member@tenant.test', role: 'member' };

export async function measureSessionParts(quick: boolean): Promise<SessionParts[]> {
  const server = await BenchServer.start();
  const pools = new DatabasePools(benchCredentials, { cap: 40, pipeline: true });
  let keys: LocalKeys | undefined;
  let valkey: TestValkey | undefined;
  try {
    keys = await startLocalKeys();
    valkey = await TestValkey.start();
    valkey.trust();
    const database = await server.createDatabase('strata');
    const [shared] = (await database.addSharedTenants(200, EMPLOYEES)) as [BenchTenant];
    const schema = await database.addSchemaTenant(EMPLOYEES);
    const registry = new BenchRegistry();
    const found: SessionParts[] = [];
    const cache = new TenantCache(valkey.server());
    for (const [model, tenant] of [
      ['shared', shared],
      ['schema', schema],
    ] as const) {
      registry.routeTo(tenant.tenantId, database.route(tenant));
      const router = new TenantRouter(new TenantDirectory(registry), pools);
      const ids = await database.employeeIds(tenant);
      found.push({ model, timings: await measure(tenant, router, { cache, ids, quick }) });
    }
    return found;
  } finally {
    await pools.end();
    await valkey?.stop();
    await keys?.stop();
    await server.stop();
  }
}

async function measure(
  { tenantId }: BenchTenant,
  router: TenantRouter,
  { cache, ids, quick }: { cache: TenantCache; ids: readonly string[]; quick: boolean },
): Promise<Record<Part, Timing>> {
  const without = new TenantAccess(tenantId, tenantId, router);
  const withCache = new TenantAccess(tenantId, tenantId, router, undefined, { cache });
  // Written rows are others than cached ones: a hit is what is measured.
  const [written, read] = [ids.slice(0, EMPLOYEES / 2), ids.slice(EMPLOYEES / 2)];
  for (const employee_id of ids) {
    await employees.update(
      without,
      admin,
      { employee_id },
      { ssn: '078-05-1120', salary: 91_234.56 },
      undefined,
    );
  }
  const [readId, writtenId] = [inTurn(read), inTurn(written)];
  let count = 0;
  const title = () => ({ job_title: `Engineer ${++count}` });
  const update = (access: TenantAccess, by: Actor, values: object) =>
    employees.update(access, by, { employee_id: writtenId() }, { ...title(), ...values }, undefined);
  return interleave<Part>(
    {
      database: () => employees.get(without, { employee_id: readId() }, viewer),
      cached: () => employees.get(withCache, { employee_id: readId() }, viewer),
      opened: () => employees.get(without, { employee_id: readId() }, admin),
      plain: () =>
        without.batch('write', [
          updateOne(
            employees.resource,
            { employee_id: writtenId() },
            title(),
          ) as unknown as Statement<object>,
        ]),
      audited: () => update(without, member, {}),
      sealed: () => update(without, admin, { salary: 90_000 + (count % 1_000) }),
      invalidating: () => update(withCache, member, {}),
    },
    { rounds: quick ? 200 : 2_000, warmup: quick ? 100 : 500 },
  );
}
