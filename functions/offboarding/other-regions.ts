/**
 * What a tenant has left in regions where it was before: its former places, backups, exports, keys, and the row that sends
 * requests to its present region. Each region erases its own, by an offboarding that is a part of this one and has its id:
 *
 *   (no record there) ──record, start──▶ running ──its own workflow, and its own recovery──▶ succeeded ──▶ its facts here
 */
import { executionArnOf, inAwsRegion, startExecution } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
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
        { tenantId, cause, offboardingId },
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
  }: { tenantId: string; cause: 'request' | 'subscription'; offboardingId: string },
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
    return findOffboarding(transaction, offboardingId);
  });
  // Where the start fails, that region's recovery starts it.
  if (recorded) await start(machine, name, { tenantId, offboardingId }).catch(() => {});
  return recorded;
}
