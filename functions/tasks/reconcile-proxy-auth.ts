import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { ProxyBusy } from '../places/errors.ts';
import { listCellIds, reconcileProxyAuth, repairProxyAuth } from '../places/proxy-auth.ts';
import { type DataApi, registryFromEnvironment } from '../registry/data-api.ts';
import { clusterProtection } from './cluster-protection.ts';
import { customResourceHandler, customResourceHandlers } from './custom-resource.ts';

/** `Custom::StrataProxyAuth`: a deployment that changes the proxy has put back the template's list. */
const proxyAuth = customResourceHandler({
  properties: z.object({ CellId: z.string().min(1) }),
  physicalId: ({ CellId }) => `proxy-auth-${CellId}`,
  async apply({ CellId }) {
    await reconcileProxyAuth(registryFromEnvironment(), CellId, { patienceMs: 240_000 });
  },
});

/** A cell's function works outside of the network, so it reaches the API of RDS, for its cluster too. */
const onDeployment = customResourceHandlers({
  'Custom::StrataProxyAuth': proxyAuth,
  'Custom::StrataClusterProtection': clusterProtection,
});

/** For the lease and the proxy, in milliseconds: the next run begins a minute after this one. */
const PATIENCE_MS = 20_000;

/**
 * Makes the proxies' lists of secrets equal to the registry: of one cell, as the custom resource of its deployment, and
 * when CloudFormation tells that the deployment of the cell's stack has ended; of every cell of the region every minute.
 * The custom resource is not invoked by a deployment that fails before it, or whose rollback updates the proxy after it.
 */
export async function handler(
  event: CloudFormationCustomResourceEvent | Record<string, unknown>,
  context: Context,
): Promise<void> {
  if (isDeployment(event)) return onDeployment(event, context);
  const registry = registryFromEnvironment();
  // A cell's own function may change the proxy of that cell only.
  const { CELL_ID: cellId } = process.env;
  if (cellId) return repairOne(registry, cellId);
  await repairAll(registry, await listCellIds(registry));
}

function isDeployment(event: object): event is CloudFormationCustomResourceEvent {
  return 'RequestType' in event && 'ResponseURL' in event;
}

/**
 * After an event, which comes once: an error makes EventBridge and Lambda repeat the invocation. The lease may be that of
 * a run which the deployment itself cut off.
 */
async function repairOne(registry: DataApi, cellId: string): Promise<void> {
  const result = await repairProxyAuth(registry, cellId, { patienceMs: PATIENCE_MS });
  if (result.changed) logger.warn('the proxy had lost secrets', { cellId, secrets: result.secrets });
}

/** By schedule. A failure in one cell must not keep the others from being repaired. */
async function repairAll(registry: DataApi, cellIds: readonly string[]): Promise<void> {
  const failures: unknown[] = [];
  for (const cellId of cellIds) {
    try {
      const result = await repairProxyAuth(registry, cellId, { patienceMs: PATIENCE_MS });
      if (result.changed) logger.warn('the proxy had lost secrets', { cellId, secrets: result.secrets });
    } catch (error) {
      if (error instanceof ProxyBusy) {
        // The change in progress takes its list from the registry as well, and the next run checks it.
        logger.info('the proxy is being changed', { cellId });
        continue;
      }
      logger.error('the proxy was not reconciled', { cellId, error: error as Error });
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} proxies were not reconciled`);
}
