import { randomUUID } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { periodFigures } from '../../functions/costs/period-figures.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

/** Long over, so that times of the tests can be told in days. */
const MAY = { from: '2026-05-01', to: '2026-05-31' };

let registry: RegistryOverPostgres;
ownRegistry(async (own) => {
  registry = await own.registry();
});
beforeEach(() => registry.query(`UPDATE tenants SET status = 'failed'`));

/** A tenant with its place, unless it has none any more. */
async function addTenant(createdAt: string, { status = 'active' } = {}): Promise<string> {
  const tenantId = randomUUID();
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region,
                          created_at)
     VALUES (:tenantId::uuid, :tenantId, :slug, 'schema', 'business', :status, 'us', cast(:createdAt as timestamptz))`,
    { tenantId, slug: `t-${tenantId.slice(0, 13)}`, status, createdAt },
  );
  if (status === 'offboarded') return tenantId;
  await registry.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name,
                                          isolation_model, role_name, secret_arn, epoch, region, writer_host)
     VALUES (:tenantId::uuid, 'proxy', 5432, 'strata', 's', 'dedicated', 'r', 'none', 1, 'us', 'writer')`,
    { tenantId },
  );
  return tenantId;
}

const existed = async () =>
  Object.fromEntries((await periodFigures(registry, MAY)).map((one) => [one.tenantId, one.existed]));

test('a tenant exists from the day of its onboarding on, in UTC', async () => {
  const before = await addTenant('2026-04-30T12:00:00Z');
  const within = await addTenant('2026-05-10T23:59:59Z');
  const last = await addTenant('2026-05-31T23:00:00Z');
  await addTenant('2026-06-01T00:00:00Z');
  expect(await existed()).toEqual({
    [before]: MAY,
    [within]: { from: '2026-05-10', to: '2026-05-31' },
    [last]: { from: '2026-05-31', to: '2026-05-31' },
  });
});

test('a tenant that was erased existed until that day, where its record has found its rows', async () => {
  const erased = async (erasingSince: string) => {
    const tenantId = await addTenant('2026-04-01T00:00:00Z', { status: 'offboarded' });
    const facts = {
      registry: { found: { 'rows of tenant_users': 1 } },
      'database dedicated': { found: { rows: 1 } },
      'database us-1': { found: {} },
      'database us-2': { found: { rows: 3 } },
      'eu / database eu-1': { found: { rows: 9 } },
    };
    await registry.query(
      `INSERT INTO tenant_offboardings (tenant_id, region, cause, status, phase, former_status, started_by,
                                        erasing_since, finished_at, facts, certificate)
       VALUES (:tenantId::uuid, 'us', 'request', 'succeeded', 'finished', 'active', 'x',
               cast(:erasingSince as timestamptz), now(), cast(:facts as jsonb), '{}')`,
      { tenantId, erasingSince, facts: JSON.stringify(facts) },
    );
    await registry.query(
      `INSERT INTO usage_days (tenant_id, day, requests, errors, request_ms, database_ms, bytes_in, bytes_out)
       VALUES (:tenantId::uuid, date '2026-05-02', 7, 0, 1, 1, 1, 1)`,
      { tenantId },
    );
    return tenantId;
  };
  const within = await erased('2026-05-20T10:00:00Z');
  await erased('2026-04-30T23:00:00Z');
  const [found, ...others] = await periodFigures(registry, MAY);
  expect(others).toEqual([]);
  expect(found).toMatchObject({
    tenantId: within,
    existed: { from: '2026-05-01', to: '2026-05-20' },
    isolationModel: 'schema',
    cellId: 'us-2',
    requests: 7,
  });
});
