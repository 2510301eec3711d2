import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { listSurveyedDatabases } from '../../functions/alerts/surveyed-databases.ts';
import { lockSubject } from '../../functions/credentials/credential-subject.ts';
import { listMeteredTenants } from '../../functions/metering/metered-tenants.ts';
import { findPlace } from '../../functions/places/place.ts';
import { findDatabase } from '../../functions/upkeep/upkept-databases.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

let registry: RegistryOverPostgres;
let master: RegistryOverPostgres;
ownRegistry(async (database) => {
  registry = await database.registry();
  master = await database.registry('master');
});

/** @param ownerSecret of the routing row; null as from before there were sizes. */
async function addDedicated(ownerSecret: string | null): Promise<string> {
  const tenantId = randomUUID();
  await master.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, home_region, status)
     VALUES (:tenantId::uuid, :slug, :slug, 'dedicated', 'enterprise', 'us', 'active')`,
    { tenantId, slug: `t-${tenantId}` },
  );
  await master.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, isolation_model, writer_host,
                                          role_name, secret_arn, owner_secret_arn, epoch, region)
     VALUES (:tenantId::uuid, 'h', 5432, 'strata', 'dedicated', 'w', :role, 's', :ownerSecret, 1, 'us')`,
    { tenantId, role: `tenant_${tenantId.replaceAll('-', '')}_e1`, ownerSecret },
  );
  return tenantId;
}

test('every reader of dedicated databases takes the owner’s secret of the database that the tenant has now', async () => {
  const large = await addDedicated('strata/dedicated/ID/large/owner');
  const old = await addDedicated(null);
  const surveyed = await listSurveyedDatabases(registry, 'us', { after: undefined, limit: 10 });
  const metered = await listMeteredTenants(
    registry,
    { region: 'us', day: '2026-11-30' },
    { after: undefined, limit: 10 },
  );
  const secretsOf = async (tenantId: string) => ({
    place: (await findPlace(registry, tenantId))?.ownerSecret,
    alerts: surveyed.find(({ key }) => key === tenantId)?.ownerSecret,
    rotations: (await lockSubject(registry, { tenant: tenantId, role: 'owner' })).secret,
    upkeep: (await findDatabase(registry, 'us', tenantId))?.ownerSecret,
    metering: metered.find((one) => one.tenantId === tenantId)?.database.ownerSecret,
  });
  const all = (secret: string) => ({
    place: secret,
    alerts: secret,
    rotations: secret,
    upkeep: secret,
    metering: secret,
  });
  expect(await secretsOf(large)).toEqual(all('strata/dedicated/ID/large/owner'));
  expect(await secretsOf(old)).toEqual(all(`strata/dedicated/${old}/owner`));
});
