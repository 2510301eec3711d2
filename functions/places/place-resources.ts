/**
 * Making a place, the part that uses AWS's APIs: stack, secret, proxy. No operation here reaches a database.
 *
 *   dedicated   launchPlace ─▶ (bootstrapPlace ─▶ schema)
 *   schema      createCredentials ─▶ (schema) ─▶ registerWithProxy
 *   shared      nothing: the cell has everything
 *
 * Each operation takes the place, may be repeated, be interrupted at any point or run concurrently, does nothing for a
 * place of another isolation model, and returns its results as a part of the place. The secret is made before the role,
 * and the proxy gets the secret after the role exists, because a proxy caches a failed login.
 */
import type { Parameter, Stack } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import { DATA_DATABASE } from '../contracts/names.ts';
import { tenantSecretName } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { type DedicatedStackSettings, driveDedicatedStack, type StackProgress } from './dedicated-stack.ts';
import { DedicatedStackFailed } from './errors.ts';
import { databaseSizeOf, type Place, tierOf } from './place.ts';
import { reconcileProxyAuth } from './proxy-auth.ts';
import { deleteSecret, ensureTenantSecret } from './tenant-secret.ts';

/** The tenant of the place. */
export interface PlacedTenant {
  readonly tenantId: string;
  readonly slug: string;
}

export interface Launch {
  /** Pass it to the next call; `ready` when the database exists. */
  readonly progress: StackProgress;
  /** Addresses, secrets and role, when the database exists. */
  readonly found?: Partial<Place>;
}

/**
 * Advances the stack of a dedicated database: creates it, or adopts the one of an earlier stay. Call it until it is
 * `ready`, which takes a quarter of an hour.
 * @throws {DedicatedStackFailed} too many creations failed in this execution, or the stack is not one of ours.
 * @throws {RegionQuotaExhausted | DedicatedStackTimeout} and CloudFormation's errors.
 */
export async function launchPlace(
  place: Place,
  { tenantId, slug }: PlacedTenant,
  settings: DedicatedStackSettings,
  previous: StackProgress | undefined,
): Promise<Launch> {
  const launch = {
    tenantId,
    slug,
    tier: tierOf(place),
    roleName: place.roleName,
    size: databaseSizeOf(place),
  };
  const { progress, stack } = await driveDedicatedStack(launch, settings, previous);
  return stack ? { progress, found: placeInStack(stack) } : { progress };
}

const outputs = z.object({
  ClusterArn: z.string().min(1),
  WriterHost: z.string().min(1),
  ProxyHost: z.string().min(1),
  /** Of a database with readers. */
  ProxyReaderHost: z.string().min(1).optional(),
  Port: z.coerce.number().int().positive(),
  TenantSecretArn: z.string().min(1),
  OwnerSecretArn: z.string().min(1),
});

/**
 * Role and secret belong to the stack: an adopted one keeps those of its first launch, and the planned ones are
 * ignored.
 * @throws {DedicatedStackFailed} the stack lacks an output or the parameter.
 */
export function placeInStack(stack: Stack): Partial<Place> {
  const { data, error } = outputs.safeParse(
    Object.fromEntries((stack.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue])),
  );
  if (error) throw new DedicatedStackFailed({ cause: error });
  const roleName = parameterOf(stack.Parameters, 'RoleName');
  const { StackName: stackName } = stack;
  if (!roleName || !stackName) {
    throw new DedicatedStackFailed({ cause: new Error(`${stackName} has no parameter RoleName`) });
  }
  return {
    host: data.ProxyHost,
    port: data.Port,
    writerHost: data.WriterHost,
    readerHost: data.ProxyReaderHost ?? null,
    clusterArn: data.ClusterArn,
    database: DATA_DATABASE,
    roleName,
    secretArn: data.TenantSecretArn,
    ownerSecret: data.OwnerSecretArn,
    stackName,
  };
}

function parameterOf(parameters: readonly Parameter[] | undefined, key: string): string | undefined {
  return parameters?.find(({ ParameterKey }) => ParameterKey === key)?.ParameterValue;
}

export interface CredentialSettings {
  readonly kmsKeyArn: string | undefined;
  /** Region of the secret; the function's own AWS region when absent. */
  readonly awsRegion?: string | undefined;
}

/**
 * Creates the secret of the tenant's role in a cell, before the role. A dedicated database's secret comes from its
 * stack; shared tables use the cell's.
 * @throws {TenantSecretInvalid} a secret of another role has the name.
 */
export async function createCredentials(
  place: Place,
  tenantId: string,
  { kmsKeyArn, awsRegion }: CredentialSettings,
): Promise<Partial<Place>> {
  if (place.isolationModel !== 'schema') return {};
  const { roleName, host, port, database } = place;
  if (host === null || port === null) throw new TypeError('the cell has no proxy');
  const secretArn = await ensureTenantSecret({
    name: tenantSecretName(tenantId, roleName),
    kmsKeyArn,
    roleName,
    host,
    port,
    database,
    awsRegion,
    tags: { 'strata:tenant-id': tenantId, 'strata:tier': tierOf(place) },
  });
  return { secretArn };
}

/**
 * Makes the proxy of the place's cell accept the place's secret. The registry must name the secret already, in the
 * routing row or in an open hop. The proxy of a dedicated database has its only secret from its stack.
 * @param registry of the place's region.
 * @throws {ProxyBusy | ProxyLeaseLost} transient. {ProxySecretsExhausted | UnknownCell}
 */
export async function registerWithProxy(
  registry: RegistryExecutor,
  { isolationModel, cellId }: Pick<Place, 'isolationModel' | 'cellId'>,
  options: { readonly patienceMs?: number } = {},
): Promise<void> {
  if (isolationModel === 'schema' && cellId !== null) await reconcileProxyAuth(registry, cellId, options);
}

/**
 * Deletes the secret of a schema in a cell, immediately and permanently; succeeds when there is none. The role must be
 * gone, or be dropped next, because its password is lost. Secrets of dedicated databases belong to their stacks and
 * those of shared tables to the cell: both stay.
 *
 * No other attempt ever uses the name, so the name need not stay reserved, and a recovery window would only restore the
 * password of a role that does not exist.
 * @param awsRegion region of a secret whose ARN is not known; the function's own when absent.
 * @throws Secrets Manager's own error.
 */
export async function dropCredentials(
  { isolationModel, secretArn, roleName }: Pick<Place, 'isolationModel' | 'secretArn' | 'roleName'>,
  tenantId: string,
  awsRegion?: string,
): Promise<void> {
  if (isolationModel !== 'schema') return;
  if (secretArn !== null) await deleteSecret(secretArn);
  else await deleteSecret(tenantSecretName(tenantId, roleName), awsRegion);
}
