/**
 * The phases of a hop that make its target, with the operations of functions/places, before anything is copied. Their
 * results go into the hop's target for later phases. Each may be repeated, or run concurrently.
 *
 * A run after the end of its attempt may leave an unused secret. It must not delete it: it cannot know whether the
 * place was committed meanwhile and uses that secret.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type DedicatedStackSettings,
  type StackProgress,
  stackProgress,
  waitForStack,
} from '../places/dedicated-stack.ts';
import { provideFieldKey } from '../places/field-key.ts';
import {
  type CredentialSettings,
  createCredentials,
  launchPlace,
  registerWithProxy,
} from '../places/place-resources.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { isBeingDeleted } from './delete-left-database.ts';
import type { HopContext, PhaseOutcome } from './hop.ts';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;
const LONGEST_PROXY_PATIENCE_MS = 45_000;

/**
 * Makes the tenant's key of encrypted fields, and launches its dedicated database, or adopts the one of an earlier stay. A stack takes a quarter of an hour,
 * so the workflow calls this until it is done. If an earlier database is being deleted, it waits for the end of the
 * deletion and then launches a new one.
 * @param registryThere of the target's region.
 * @throws {MoveAborted} also while the stack is being made: it stays, and the next launch adopts it.
 * @throws {DedicatedStackFailed} too many creations failed in this execution, or the stack is not one of ours.
 * @throws {DedicatedStackTimeout} it took too long.
 */
export async function launchTarget(
  registry: RegistryExecutor,
  context: HopContext,
  settings: DedicatedStackSettings,
  cursor?: unknown,
  registryThere: RegistryExecutor = registry,
): Promise<PhaseOutcome<StackProgress>> {
  const { hop, deadline } = context;
  const { tenantId } = hop.attempt;
  if (hop.target.isolationModel !== 'dedicated') return { done: true };
  const { tenant_slug: slug } = await registrySql(registry)
    .selectFrom('tenants')
    .select('tenant_slug')
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow();
  // Before there are rows: none of the tenant's fields is ever encrypted there under another key.
  await provideFieldKey(registryThere, tenantId, { awsRegion: settings.awsRegion });
  let previous = stackProgress.optional().parse(cursor);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS)) {
    // Do not pay for a cluster that is no longer wanted.
    await context.progress({});
    // The stack of an earlier stay that is being deleted must not be adopted.
    const { progress, found } = (await isBeingDeleted(registryThere, tenantId, hop.target))
      ? { progress: waitForStack(previous), found: undefined }
      : await launchPlace(hop.target, { tenantId, slug }, settings, previous);
    if (found) {
      await context.amendTarget(found);
      return { done: true, cursor: progress };
    }
    previous = progress;
    if (performance.now() + pause > deadline) return { done: false, cursor: progress };
    await delay(pause);
  }
}

/**
 * Prepares the tenant's dedicated database, new or from an earlier stay, at this code's version.
 * @throws {TenantSecretInvalid | MoveAborted} and the errors of the driver and of Secrets Manager.
 */
export async function bootstrapTarget(context: HopContext): Promise<PhaseOutcome> {
  const { attempt, target } = context.hop;
  if (target.isolationModel !== 'dedicated') return { done: true };
  const { bootstrapPlace } = await import('../places/place-database.ts');
  await context.progress({});
  await context.amendTarget(await bootstrapPlace(target, attempt.tenantId));
  return { done: true };
}

/**
 * Creates the secret of the target's role, before the role.
 * @throws {MoveAborted}
 * @throws {TenantSecretInvalid} a secret of another role has the name.
 */
export async function createTargetCredentials(
  context: HopContext,
  settings: CredentialSettings,
): Promise<PhaseOutcome> {
  const { attempt, target } = context.hop;
  if (target.isolationModel !== 'schema') return { done: true };
  await context.progress({});
  await context.amendTarget(await createCredentials(target, attempt.tenantId, settings));
  return { done: true };
}

/**
 * Makes the proxy of the target's cell accept the target's secret, which the hop names since the phase `credentials`.
 * @param registry of the target's region.
 * @throws {MoveAborted}
 * @throws {ProxyBusy | ProxyLeaseLost} transient. {ProxySecretsExhausted | UnknownCell}
 */
export async function registerTarget(registry: RegistryExecutor, context: HopContext): Promise<PhaseOutcome> {
  const { target } = context.hop;
  if (target.isolationModel !== 'schema') return { done: true };
  await context.progress({});
  const leftMs = Math.max(0, context.deadline - performance.now());
  await registerWithProxy(registry, target, { patienceMs: Math.min(leftMs, LONGEST_PROXY_PATIENCE_MS) });
  return { done: true };
}
