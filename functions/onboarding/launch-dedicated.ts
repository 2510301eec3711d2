import { FIRST_EPOCH, tenantRoleName } from '../placement/tenant-names.ts';
import {
  type DedicatedStackSettings,
  driveDedicatedStack,
  type StackProgress,
} from '../places/dedicated-stack.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { recordDedicatedPlace } from './dedicated-place.ts';
import { onProvisioningTenant } from './provisioning-tenant.ts';

/**
 * Brings the stack of the tenant's dedicated database one step further, and records the outputs of a finished one in
 * the registry. Called in a loop with what the last call returned, until that is `ready`.
 * @throws {DedicatedStackFailed} this execution saw too many creations fail, or the stack needs a person.
 * @throws {DedicatedStackTimeout} it took too long.
 */
export async function launchDedicated(
  registry: RegistryExecutor,
  tenantId: string,
  settings: DedicatedStackSettings,
  previous: StackProgress | undefined,
): Promise<StackProgress> {
  // What a tenant that is active already needs of it.
  const { since, stackId, failures } = previous ?? {
    ...{ since: new Date().toISOString(), stackId: null, failures: 0 },
  };
  let progress: StackProgress = { ready: true, phase: 'ready', stackId, failures, since };
  await onProvisioningTenant(registry, tenantId, async ({ slug, tier }) => {
    const launch = { tenantId, slug, tier, roleName: tenantRoleName(tenantId, FIRST_EPOCH) };
    const { progress: made, stack } = await driveDedicatedStack(launch, settings, previous);
    if (stack) await recordDedicatedPlace(registry, tenantId, stack);
    progress = made;
  });
  return progress;
}
