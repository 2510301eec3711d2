/**
 * What a tenant has left in regions where it was before: its former places, backups, exports, keys, and the row that sends
 * requests to its present region. Each region erases its own, by an offboarding that is a part of this one and has its id:
 *
 *   (no record there) ──record, start──▶ running ──its own workflow, and its own recovery──▶ succeeded ──▶ its facts here
 *
 * A region that the tenant has left has no row of its users, but their accounts, disabled, with their addresses. So the
 * record brings the rows of those who were users then, inactive, which the erasure there deletes with the accounts. A region
 * that was never the tenant's (home's, which reserves the slug) gets none.
 */
import { sql } from 'kysely';
import { executionArnOf, inAwsRegion, startExecution } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { columnValue, jsonValue, latest, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { endHops } from './offboarding-phases.ts';
import { findOffboarding, insertOffboarding, mergeFact, runningOffboarding } from './offboarding-records.ts';
import { executionName } from './request-offboarding.ts';

export type Regions = Pick<RegionalRegistries, 'keys' | 'ownKey' | 'of' | 'awsRegionOf'>;

export interface OtherRegionsOptions {
  readonly actor: AuditActor;
  /** Of the function's own region. */
  readonly stateMachineArn: string;
  readonly start?: typeof startExecution;
}

/** The separator between a region and a store in the name of a fact. */
const OF = ' / ';

/** @returns false while another region is still erasing: call it again. */
export async function eraseOtherRegions(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  regions: Regions,
  offboardingId: string,
  options: OtherRegionsOptions,
): Promise<boolean> {
  const { tenantId, cause, partOf } = await runningOffboarding(registry, offboardingId);
  if (partOf !== null) return true;
  let done = true;
  for (const key of regions.keys.filter((each) => each !== regions.ownKey)) {
    const there = regions.of(key);
    const part =
      (await findOffboarding(there, offboardingId)) ??
      (await recordPart(
        there,
        { tenantId, cause, offboardingId, registry },
        { key, partOf: regions.ownKey, ...options },
        regions,
      ));
    if (!part) continue;
    if (part.status !== 'succeeded') {
      done = false;
      continue;
    }
    for (const [store, fact] of Object.entries(part.facts))
      await mergeFact(registry, offboardingId, `${key}${OF}${store}`, fact);
  }
  return done;
}

/** @returns undefined where that region has never had the tenant. */
async function recordPart(
  there: Pick<DataApi, 'query' | 'transaction'>,
  {
    tenantId,
    cause,
    offboardingId,
    registry,
  }: {
    tenantId: string;
    cause: 'request' | 'subscription';
    offboardingId: string;
    /** The tenant's own. */
    registry: RegistryExecutor;
  },
  {
    key,
    partOf,
    actor,
    stateMachineArn,
    start = startExecution,
  }: OtherRegionsOptions & { readonly key: string; readonly partOf: string },
  regions: Regions,
) {
  const machine = inAwsRegion(stateMachineArn, regions.awsRegionOf(key));
  const name = executionName(offboardingId);
  const recorded = await there.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const known = await registrySql(transaction)
      .selectFrom('tenants')
      .select('tenant_id')
      .where('tenant_id', '=', tenantId)
      .forUpdate()
      .executeTakeFirst();
    if (!known) return undefined;
    await insertOffboarding(
      transaction,
      {
        offboardingId,
        tenantId,
        region: key,
        cause,
        formerStatus: 'elsewhere',
        executionArn: executionArnOf(machine, name),
        startedBy: actor.id,
        phase: 'erase',
        partOf,
      },
      actor,
    );
    await endHops(transaction, tenantId);
    await bringFormerUsers(registry, transaction, { tenantId, region: key });
    return findOffboarding(transaction, offboardingId);
  });
  // Where the start fails, that region's recovery starts it.
  if (recorded) await start(machine, name, { tenantId, offboardingId }).catch(() => {});
  return recorded;
}

/** Users per statement. */
const USERS_AT_ONCE = 500;

/** @param there of the region that the tenant has left. */
async function bringFormerUsers(
  registry: RegistryExecutor,
  there: RegistryExecutor,
  { tenantId, region }: { readonly tenantId: string; readonly region: string },
): Promise<void> {
  const left = await registrySql(there)
    .selectFrom('tenant_move_hops as h')
    .select((eb) => rfc3339(latest(eb.ref('h.committed_at').$notNull())).as('at'))
    .where('h.tenant_id', '=', tenantId)
    .where('h.committed_at', 'is not', null)
    .where(sql<boolean>`h.source ->> 'region' = ${region} and h.target ->> 'region' <> ${region}`)
    .executeTakeFirst();
  if (left?.at == null) return;
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const users = await registrySql(registry)
      .selectFrom('tenant_users')
      .select(['user_id', 'email', 'external_auth_id'])
      .where('tenant_id', '=', tenantId)
      .where('created_at', '<=', columnValue('tenant_users.created_at', left.at))
      .where('user_id', '>', after)
      .orderBy('user_id')
      .limit(USERS_AT_ONCE)
      .execute();
    const rows = users.map(({ email, external_auth_id: external }) => ({ email, external }));
    await sql`
      insert into tenant_users (tenant_id, email, role, is_active, external_auth_id)
      select ${columnValue('tenants.tenant_id', tenantId)}, u.email, 'viewer', false, u.external
      from jsonb_to_recordset(${jsonValue(rows)}) as u (email text, external text)
      on conflict do nothing`.execute(registrySql(there));
    const last = users.at(-1);
    if (!last || users.length < USERS_AT_ONCE) return;
    after = last.user_id;
  }
}
