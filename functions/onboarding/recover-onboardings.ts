/**
 * Recovers onboardings whose executions ended without ending the onboarding: stopped, timed out, failed while they
 * recorded their failure, never started, or lost with a machine.
 *
 *   never started (the request that registered the tenant died before the start) ──▶ started under its planned name
 *   ended in any way, the tenant still `provisioning`                            ──▶ `failed` with a reason
 *
 * Invariant: recovery looks only at the execution that the tenant names, and marks the tenant only while the tenant
 * names it. An execution that took the tenant over meanwhile keeps it. The same input resumes a failed tenant.
 */
import { sql } from 'kysely';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { type JsonText, parseJson } from '../registry/registry-column.ts';
import { asText, latest, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { OnboardingNotStarted } from './errors.ts';
import { failTenant } from './fail-tenant.ts';
import { type ExecutionProbe, isDead } from './onboarding-executions.ts';

export interface RecoverOnboardingsOptions {
  /** Only the tenant of this execution; every tenant when absent. */
  readonly executionArn?: string | undefined;
  readonly statusOf: ExecutionProbe;
  /** Calls `StartExecution` of `tenant-onboarding` with the name at the end of the ARN. */
  readonly start: (executionArn: string, input: object) => Promise<void>;
  /** On `performance.now()`'s clock: no tenant is begun after it. */
  readonly deadline: number;
  /** Called for each tenant that has been provisioning for longer than an hour. */
  readonly onLate: (tenant: { tenantId: string; minutes: number }) => void;
}

export interface RecoveredOnboardings {
  /** Tenants that were marked failed. */
  readonly failed: readonly string[];
  /** Tenants whose execution was started. */
  readonly started: readonly string[];
}

type Row = Awaited<ReturnType<typeof provisioningTenants>>[number];

const ACTOR = { id: 'onboarding-recovery', type: 'system' } as const;
const LATE_MINUTES = 60;
const PAGE = 200;

/**
 * @throws {AggregateError} some could not be recovered; the others were.
 * @throws the registry's errors.
 */
export async function recoverOnboardings(
  registry: DataApi,
  { executionArn, statusOf, start, deadline, onLate }: RecoverOnboardingsOptions,
): Promise<RecoveredOnboardings> {
  const recovered: { failed: string[]; started: string[] } = { failed: [], started: [] };
  const failures: unknown[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await provisioningTenants(registry, { executionArn, after });
    for (const row of page) {
      if (performance.now() >= deadline) break;
      const { tenant_id: tenantId, provisioning_seconds: seconds } = row;
      const minutes = seconds / 60;
      try {
        await recover(row);
      } catch (error) {
        // A failure for one tenant must not prevent the recovery of the others.
        failures.push(error);
      }
      if (minutes >= LATE_MINUTES && !recovered.failed.includes(tenantId)) onLate({ tenantId, minutes });
    }
    after = page.at(-1)?.tenant_id;
    if (page.length < PAGE || performance.now() >= deadline) break;
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} onboardings were not recovered`);
  return recovered;

  async function recover(row: Row): Promise<void> {
    const { tenant_id: tenantId, age: ageSeconds } = row;
    const named = row.execution_arn;
    const fail = async (reason: string) => {
      const marked = await failTenant(registry, tenantId, {
        reason,
        executionArn: named ?? '',
        actor: ACTOR,
      });
      if (marked) recovered.failed.push(tenantId);
    };
    const status = named === null ? 'none' : await statusOf(named);
    if (!isDead(status, ageSeconds)) return;
    // Registered by a version that did not plan the execution.
    if (named === null) return fail(new OnboardingNotStarted().message);
    if (status === 'none') {
      await start(named, parseJson(row.input));
      recovered.started.push(tenantId);
      return;
    }
    await fail(
      'The workflow of the onboarding ended before the tenant was ready. Send the same input again.',
    );
  }
}

/** By id, with the input of each registration. */
function provisioningTenants(
  registry: RegistryExecutor,
  { executionArn, after }: { executionArn: string | undefined; after: string | undefined },
) {
  return registrySql(registry)
    .selectFrom('tenants as t')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('control_audit_log as a')
          // A resumed tenant has been provisioning since its resumption.
          .select((each) => latest(each.ref('a.created_at')).as('began'))
          .whereRef('a.tenant_id', '=', 't.tenant_id')
          .where('a.action', 'in', ['tenant.register', 'tenant.resume'])
          .as('since'),
      (join) => join.onTrue(),
    )
    .select(['t.tenant_id', 't.execution_arn'])
    .select((eb) => [
      secondsSince(eb.ref('t.updated_at')).as('age'),
      secondsSince(eb.fn.coalesce('since.began', 't.created_at')).as('provisioning_seconds'),
      asText(sql<JsonText<object>>`jsonb_build_object('name', t.tenant_name, 'slug', t.tenant_slug,
        'adminEmail', t.admin_email, 'tier', t.subscription_tier, 'dataResidency', t.data_residency,
        'billingEmail', t.billing_email,
        'complianceRequirements', coalesce(t.compliance_requirements, jsonb_build_array()))`).as('input'),
    ])
    .where('t.status', '=', 'provisioning')
    .$if(executionArn !== undefined, (tenants) =>
      tenants.where('t.execution_arn', '=', executionArn as string),
    )
    .$if(after !== undefined, (tenants) => tenants.where('t.tenant_id', '>', after as string))
    .orderBy('t.tenant_id')
    .limit(PAGE)
    .execute();
}
