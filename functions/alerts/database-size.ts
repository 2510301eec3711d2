/**
 * Storage against the limit of the tier, or the tenant's own. A tenant with a schema or a database is measured by every
 * run; a Starter tenant's rows are counted once a day (`usage_samples`), because that reads all of them.
 */
import { sql } from 'kysely';
import type { Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { isInUse, jsonValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type Finding, levelOf, ofTenant, percent, sizeText } from './finding.ts';
import type { AlertThresholds } from './thresholds.ts';

const GB = 1024 ** 3;

/**
 * @param measured bytes of tenants that this run has measured.
 * @throws {RegistryError}
 */
export async function judgeStorage(
  registry: RegistryExecutor,
  measured: ReadonlyMap<string, number>,
  { storage }: AlertThresholds,
): Promise<Finding[]> {
  const limits = Object.entries(tierTerms).map(([tier, { maxStorageGb: gb }]) => ({ tier, gb }));
  const sizes = [...measured].map(([tenant_id, bytes]) => ({ tenant_id, bytes }));
  // The registry compares, because it may have more tenants than one answer of the Data API takes.
  const { rows } = await sql<{ tenant_id: string; tier: Tier; bytes: number; gb: number }>`
    select * from (
      select t.tenant_id, t.subscription_tier as tier, cast(coalesce(t.max_storage_gb, l.gb) as double precision) as gb,
             coalesce(m.bytes, cast((select s.storage_bytes from usage_samples s
                                      where s.tenant_id = t.tenant_id and s.storage_bytes is not null
                                      order by s.sampled_on desc limit 1) as double precision)) as bytes
        from tenants t
        join jsonb_to_recordset(${jsonValue(limits)}) as l (tier text, gb integer) on l.tier = t.subscription_tier
        left join jsonb_to_recordset(${jsonValue(sizes)}) as m (tenant_id uuid, bytes double precision)
          on m.tenant_id = t.tenant_id
       where ${isInUse}) as used
     where gb is not null and bytes >= gb * ${sql.lit(GB)} * ${sql.lit(storage.clear)}
     order by tenant_id`.execute(registrySql(registry));
  return rows.flatMap(({ tenant_id, tier, bytes, gb }): Finding[] => {
    const limit = gb * GB;
    const share = limit === 0 ? 1 : bytes / limit;
    const level = levelOf(share, storage);
    if (!level) return [];
    return [
      {
        kind: 'database-size',
        ...ofTenant(tenant_id),
        level,
        ...(share >= 1 ? { severity: 'critical' as const } : {}),
        summary: `A ${tier} tenant uses ${sizeText(bytes)}, ${percent(share)} of its ${gb} GB.`,
        details: { tier, storageBytes: bytes, limitBytes: limit },
      },
    ];
  });
}
