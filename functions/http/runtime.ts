import { logger } from '../aws/logger.ts';
import { type CommonEnvironment, type TenantApiEnvironment, variable } from '../contracts/environments.ts';
import { ALERTS } from '../contracts/names.ts';
import { CredentialStore } from '../database/session/credentials.ts';
import { DatabasePools } from '../database/session/pools.ts';
import { TenantDirectory } from '../placement/tenant-directory.ts';
import { TenantRouter } from '../placement/tenant-router.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import type { ResolutionDependencies } from './resolve-tenant.ts';

/** Pools that one container keeps open: beyond it the least recently used idle one is closed. */
const POOL_CAP = 40;

let runtime: ResolutionDependencies | undefined;

/** What the data plane's functions share within one container, made at the first request. */
export function dataPlaneRuntime(): ResolutionDependencies {
  runtime ??= createRuntime();
  return runtime;
}

function createRuntime(): ResolutionDependencies {
  const directory = new TenantDirectory(registryFromEnvironment());
  const pools = new DatabasePools(new CredentialStore(), {
    cap: POOL_CAP,
    pipeline: variable<CommonEnvironment>('DB_PIPELINE') === 'on',
    onAlert: (message) => logger.critical(ALERTS.isolation, { reason: message }),
  });
  const regionKey = variable<TenantApiEnvironment>('REGION_KEY');
  return {
    directory,
    router: new TenantRouter(directory, pools, { regionKey }),
    regionKey,
    domains: variable<TenantApiEnvironment>('TENANT_DOMAINS').split(','),
  };
}
