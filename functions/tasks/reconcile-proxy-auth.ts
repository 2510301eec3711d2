import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import * as z from 'zod';
import { registryFromEnvironment } from '../database/registry/data-api.ts';
import { customResourceHandler } from '../middleware/custom-resource.ts';
import { logger } from '../middleware/logger.ts';
import { listCellIds, reconcileProxyAuth } from '../provisioning/proxy-auth.ts';

/** `Custom::StrataProxyAuth`: a deployment that changes the proxy has put back the template's list. */
const onDeployment = customResourceHandler({
  properties: z.object({ CellId: z.string().min(1) }),
  physicalId: ({ CellId }) => `proxy-auth-${CellId}`,
  async apply({ CellId }) {
    await reconcileProxyAuth(registryFromEnvironment(), CellId, { patienceMs: 240_000 });
  },
});

/** Puts the proxies' lists of secrets right: of one cell on a deployment, of every cell on schedule. */
export async function handler(
  event: CloudFormationCustomResourceEvent | Record<string, unknown>,
  context: Context,
): Promise<void> {
  if (isDeployment(event)) return onDeployment(event, context);
  await onSchedule();
}

function isDeployment(event: object): event is CloudFormationCustomResourceEvent {
  return 'RequestType' in event && 'ResponseURL' in event;
}

/** One cell's trouble must not keep the others from being put right. */
async function onSchedule(): Promise<void> {
  const registry = registryFromEnvironment();
  const failures: unknown[] = [];
  for (const cellId of await listCellIds(registry)) {
    try {
      const result = await reconcileProxyAuth(registry, cellId);
      if (result.changed) logger.warn('the proxy had lost secrets', { cellId, secrets: result.secrets });
    } catch (error) {
      logger.error('the proxy was not reconciled', { cellId, error: error as Error });
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} proxies were not reconciled`);
}
