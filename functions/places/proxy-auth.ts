/**
 * Keeps the secrets that a cell's proxy accepts equal to the registry.
 *
 * RDS replaces a proxy's Auth list as a whole, and a CloudFormation update of the proxy restores the template's list.
 * So the list is never edited but always computed, under the proxy's lease: read the registry, compare, replace, read
 * back. The registry is read after the lease is taken: a secret that was recorded before is included, and a caller that
 * records one later reconciles after this run.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { DBProxy, RDSClient } from '@aws-sdk/client-rds';
import { sql } from 'kysely';
import { rdsClient } from '../aws/clients.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { MAX_PROXY_SECRETS } from '../registry/cell-utilisation.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { ProxyBusy, ProxySecretsExhausted, UnknownCell } from './errors.ts';
import { acquireProxyLease, type ProxyLease } from './proxy-lease.ts';

export interface ReconcileOptions {
  /** How long to wait for the lease, and for the proxy to become available and show the list; milliseconds. */
  readonly patienceMs?: number;
}

/**
 * Makes the cell's proxy accept the starter secret, the secret of every Business tenant that is not failed or removed,
 * the secrets of schemas that tenants are moving to or from, and those of roles that stand in for others.
 * @returns whether the proxy was changed, and how many secrets it accepts.
 * @throws {ProxyBusy} the lease or the proxy did not become free in time; transient.
 * @throws {ProxyLeaseLost} another change may have run at the same time; transient.
 * @throws {ProxySecretsExhausted} more secrets than a proxy takes.
 * @throws {UnknownCell}
 */
export async function reconcileProxyAuth(
  registry: RegistryExecutor,
  cellId: string,
  { patienceMs = 45_000 }: ReconcileOptions = {},
): Promise<{ changed: boolean; secrets: number }> {
  const patience = new Patience(patienceMs);
  if (!(await listCellIds(registry)).includes(cellId)) throw new UnknownCell();
  const lease = await waitForLease(registry, cellId, patience);
  try {
    const { proxyName, secretArns, clusterArn } = await desiredAuth(registry, cellId);
    // The proxy is in its cluster's region.
    const client = await rdsClient(regionOfArn(clusterArn));
    const current = await waitUntilAvailable(client, proxyName, lease, patience);
    if (sameSecrets(current, secretArns)) return { changed: false, secrets: secretArns.length };
    await lease.renew();
    await replaceAuth(client, proxyName, secretArns);
    await verifyAuth(client, proxyName, secretArns, lease, patience);
    return { changed: true, secrets: secretArns.length };
  } finally {
    // The lease expires by itself; a failed release must not hide the outcome.
    await lease.release().catch(() => {});
  }
}

/**
 * Reconciles the cell's proxy if needed. When nothing is wrong, this is one statement in the registry and one call of
 * RDS without a write: cheap enough for every minute.
 * @returns and throws as {@link reconcileProxyAuth}
 */
export async function repairProxyAuth(
  registry: RegistryExecutor,
  cellId: string,
  options: ReconcileOptions = {},
): Promise<{ changed: boolean; secrets: number }> {
  const { proxyName, secretArns, clusterArn } = await desiredAuth(registry, cellId);
  const proxy = await describeProxy(await rdsClient(regionOfArn(clusterArn)), proxyName);
  // While the list is being changed, RDS may show another one.
  if (proxy.Status === 'available' && sameSecrets(proxy, secretArns)) {
    return { changed: false, secrets: secretArns.length };
  }
  return reconcileProxyAuth(registry, cellId, options);
}

/** What a cell's proxy accepts, beside what the registry wants it to accept. */
export interface ProxyAuthState {
  /** Secrets of the registry's list. */
  readonly secrets: number;
  /** Secrets of that list that the proxy does not accept: their tenants are refused. */
  readonly missing: readonly string[];
  /** Why the proxy cannot sign in to the database, as RDS reports it; null when it can, or when RDS does not say. */
  readonly authFailure: string | null;
}

/** How long a new secret may be missing, in seconds: whoever records one changes the proxy next, which takes a while. */
const RECENT_SECONDS = 180;

/**
 * Compares and changes nothing.
 * @param recentSeconds secrets that were recorded since then do not count as missing.
 * @throws {UnknownCell | ProxySecretsExhausted} and RDS's own errors.
 */
export async function readProxyAuth(
  registry: RegistryExecutor,
  cellId: string,
  recentSeconds: number = RECENT_SECONDS,
): Promise<ProxyAuthState> {
  const { proxyName, secretArns, clusterArn } = await desiredAuth(registry, cellId);
  const client = await rdsClient(regionOfArn(clusterArn));
  const proxy = await describeProxy(client, proxyName);
  const accepted = new Set((proxy.Auth ?? []).map(({ SecretArn }) => SecretArn));
  const { DescribeDBProxyTargetsCommand } = await import('@aws-sdk/client-rds');
  const { Targets = [] } = await client.send(new DescribeDBProxyTargetsCommand({ DBProxyName: proxyName }));
  const failure = Targets.find(({ TargetHealth: health }) => health?.Reason === 'AUTH_FAILURE');
  const missing = secretArns.filter((arn) => !accepted.has(arn));
  const recent = missing.length > 0 ? await recentSecrets(registry, cellId, recentSeconds) : new Set();
  return {
    secrets: secretArns.length,
    missing: missing.filter((arn) => !recent.has(arn)),
    authFailure: failure ? (failure.TargetHealth?.Description ?? 'AUTH_FAILURE') : null,
  };
}

async function recentSecrets(
  registry: RegistryExecutor,
  cellId: string,
  seconds: number,
): Promise<Set<string>> {
  const since = sql`now() - ${sql.lit(seconds)} * interval '1 second'`;
  const { rows } = await sql<{ secret_arn: string }>`
    select secret_arn from tenant_database_routing
     where cell_id = ${cellId} and secret_arn is not null and updated_at > ${since}
    union
    select side.place ->> 'secretArn'
      from tenant_move_hops as h cross join lateral (values (h.source), (h.target)) as side (place)
     where h.state not in ('cleaned', 'rolled-back') and side.place ->> 'cellId' = ${cellId}
       and side.place ->> 'secretArn' is not null and h.updated_at > ${since}`.execute(registrySql(registry));
  return new Set(rows.map(({ secret_arn }) => secret_arn));
}

/**
 * Makes the proxy of a dedicated database, which has its cluster's name, accept exactly these secrets. Its list is changed
 * by the rotation of its tenant's credentials only, one at a time, so it has no lease.
 * @throws {ProxyBusy} the proxy did not become free in time; transient.
 */
export async function setDedicatedProxyAuth(
  clusterArn: string,
  secretArns: string[],
  { patienceMs = 45_000 }: ReconcileOptions = {},
): Promise<void> {
  const patience = new Patience(patienceMs);
  const proxyName = clusterArn.slice(clusterArn.lastIndexOf(':') + 1);
  const client = await rdsClient(regionOfArn(clusterArn));
  const current = await waitUntilAvailable(client, proxyName, NO_LEASE, patience);
  if (sameSecrets(current, secretArns)) return;
  await replaceAuth(client, proxyName, secretArns);
  await verifyAuth(client, proxyName, secretArns, NO_LEASE, patience);
}

const NO_LEASE: ProxyLease = { renew: async () => {}, release: async () => {} };

/** All cells of the registry, for the scheduled reconciliation. */
export async function listCellIds(registry: RegistryExecutor): Promise<string[]> {
  const rows = await registrySql(registry).selectFrom('cells').select('cell_id').orderBy('cell_id').execute();
  return rows.map((row) => row.cell_id);
}

async function waitForLease(
  registry: RegistryExecutor,
  cellId: string,
  patience: Patience,
): Promise<ProxyLease> {
  for (;;) {
    const lease = await acquireProxyLease(registry, cellId);
    if (lease) return lease;
    await patience.pause();
  }
}

/** @throws {UnknownCell} {@link ProxySecretsExhausted} */
async function desiredAuth(
  registry: RegistryExecutor,
  cellId: string,
): Promise<{ proxyName: string; secretArns: string[]; clusterArn: string }> {
  // While a hop is open, its source and its target must both accept the tenant: requests may still go to the source,
  // and the target is verified before it serves. For a tenant that arrives from another region, the hop is recorded
  // there and only the routing row here. One statement, so that no move can change the rows between two reads.
  const rows = await registrySql(registry)
    .selectFrom('cells as c')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('tenant_database_routing as r')
          .innerJoin('tenants as t', 't.tenant_id', 'r.tenant_id')
          .select('r.secret_arn')
          .whereRef('r.cell_id', '=', 'c.cell_id')
          .where('r.isolation_model', '=', 'schema')
          .where('r.secret_arn', 'is not', null)
          .where('t.status', 'not in', ['failed', 'offboarded', 'elsewhere'])
          .union(
            sql<{ secret_arn: string | null }>`
              select side.place ->> 'secretArn'
                from tenant_move_hops as h cross join lateral (values (h.source), (h.target)) as side (place)
               where h.state not in ('cleaned', 'rolled-back')
                 and side.place ->> 'isolationModel' = 'schema' and side.place ->> 'cellId' = c.cell_id
                 and side.place ->> 'secretArn' is not null`,
          )
          .union(
            // Of a role whose password is being replaced, and of its stand-in. The routing rows name one of the two.
            sql<{ secret_arn: string | null }>`
              select side.secret_arn
                from credential_rotations as n
                cross join lateral (values (n.secret), (n.stand_in_secret_arn)) as side (secret_arn)
               where n.status = 'running' and n.kind in ('tenant', 'starter') and n.cell_id = c.cell_id
                 and side.secret_arn is not null`,
          )
          .as('accepted'),
      (join) => join.onTrue(),
    )
    .select(['c.proxy_name', 'c.starter_secret_arn', 'c.cluster_arn', 'accepted.secret_arn'])
    .where('c.cell_id', '=', cellId)
    .orderBy('accepted.secret_arn')
    .execute();
  const [cell] = rows;
  if (!cell) throw new UnknownCell();
  const tenants = rows.flatMap(({ secret_arn }) => (secret_arn === null ? [] : [secret_arn]));
  const secretArns = [...new Set([cell.starter_secret_arn, ...tenants])];
  if (secretArns.length > MAX_PROXY_SECRETS) throw new ProxySecretsExhausted();
  return { proxyName: cell.proxy_name, secretArns, clusterArn: cell.cluster_arn };
}

/** RDS refuses to modify a proxy that is being created or modified. */
async function waitUntilAvailable(
  client: RDSClient,
  proxyName: string,
  lease: ProxyLease,
  patience: Patience,
): Promise<DBProxy> {
  for (;;) {
    const proxy = await describeProxy(client, proxyName);
    if (proxy.Status === 'available') return proxy;
    await patience.pause();
    await lease.renew();
  }
}

async function replaceAuth(client: RDSClient, proxyName: string, secretArns: string[]): Promise<void> {
  const { InvalidDBProxyStateFault, ModifyDBProxyCommand } = await import('@aws-sdk/client-rds');
  try {
    await client.send(
      new ModifyDBProxyCommand({
        DBProxyName: proxyName,
        Auth: secretArns.map((SecretArn) => ({ AuthScheme: 'SECRETS', IAMAuth: 'DISABLED', SecretArn })),
      }),
    );
  } catch (error) {
    if (error instanceof InvalidDBProxyStateFault) throw new ProxyBusy({ cause: error });
    throw error;
  }
}

/** How long an available proxy may still show the old list after RDS has accepted a change. */
const SHOWN_WITHIN_MS = 3_000;

/**
 * A change is complete when the proxy shows it and is available again, and the lease was held throughout. A deployment
 * can restore the template's list in between: then the list is replaced again here, because other runs wait for the
 * lease.
 */
async function verifyAuth(
  client: RDSClient,
  proxyName: string,
  secretArns: string[],
  lease: ProxyLease,
  patience: Patience,
): Promise<void> {
  let replacedAt = Date.now();
  for (;;) {
    const proxy = await describeProxy(client, proxyName);
    await lease.renew();
    if (proxy.Status === 'available') {
      if (sameSecrets(proxy, secretArns)) return;
      if (Date.now() - replacedAt > SHOWN_WITHIN_MS) {
        await replaceAuth(client, proxyName, secretArns);
        replacedAt = Date.now();
      }
    }
    await patience.pause();
  }
}

async function describeProxy(client: RDSClient, proxyName: string): Promise<DBProxy> {
  const { DescribeDBProxiesCommand } = await import('@aws-sdk/client-rds');
  const { DBProxies } = await client.send(new DescribeDBProxiesCommand({ DBProxyName: proxyName }));
  const proxy = DBProxies?.[0];
  if (!proxy) throw new UnknownCell();
  return proxy;
}

function sameSecrets(proxy: DBProxy, secretArns: string[]): boolean {
  const current = (proxy.Auth ?? []).map((auth) => auth.SecretArn);
  return current.length === secretArns.length && new Set([...current, ...secretArns]).size === current.length;
}

/** Pauses that grow from a tenth of a second to two seconds. */
class Patience {
  readonly #deadline: number;
  #step = 100;

  constructor(ms: number) {
    this.#deadline = Date.now() + ms;
  }

  /** @throws {ProxyBusy} when the time is up. */
  async pause(): Promise<void> {
    // Jitter, so that the executions of one cell do not all call at the same time.
    const wait = this.#step * (0.5 + Math.random());
    if (Date.now() + wait > this.#deadline) throw new ProxyBusy();
    this.#step = Math.min(this.#step * 1.5, 2_000);
    await delay(wait);
  }
}
