import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { ResidencySettings } from '../../contracts/residency.ts';
import { operatorRoute } from '../../http/operator-api.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { tenantParams } from './tenant-routes.ts';

/** From the registries and the configuration: neither AWS nor a database is asked. */
export const read = operatorRoute({ params: tenantParams }, async ({ registry, registries, params }) => {
  const { readResidencyFacts } = await import('../../residency/residency-facts.ts');
  const { residencyReport } = await import('../../residency/residency-report.ts');
  const tenant = await getTenant(registry, params.tenantId);
  const settings = JSON.parse(variable<OperatorApiEnvironment>('RESIDENCY')) as ResidencySettings;
  const facts = await readResidencyFacts(registries, registry, tenant);
  return { status: 200, body: residencyReport(facts, settings, new Date()) };
});
