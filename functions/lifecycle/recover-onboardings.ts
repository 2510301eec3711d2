/**
 * What becomes of onboardings whose executions ended without ending them: stopped, timed out, failed while they recorded
 * their failure, never started, or gone with a machine.
 *
 *   never started (the request that registered the tenant died before the start) ──▶ started under its planned name
 *   ended in whatever way, the tenant still `provisioning`                       ──▶ `failed` with a reason
 *
 * Invariant: only the execution that the tenant names is looked at, and the tenant is marked only while it names that
 * one; an execution that took the tenant over meanwhile keeps it. The same input resumes a failed tenant.
 */
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { OnboardingNotStarted } from './errors.ts';
import { failTenant } from './fail-tenant.ts';
import { type ExecutionProbe, isDead } from './onboarding-executions.ts';

export interface RecoverOnboardingsOptions {
  /** Only the tenant that this execution works on; every one when absent. */
  readonly executionArn?: string | undefined;
  readonly statusOf: ExecutionProbe;
  /** `StartExecution` of `tenant-onboarding` under the name that the ARN ends with. */
  readonly start: (executionArn: string, input: object) => Promise<void>;
  /** On `performance.now()`'s clock: no further tenant is begun afterwards. */
  readonly deadline: number;
  /** Called for each tenant that is provisioning for longer than an hour. */
  readonly onLate: (tenant: { tenantId: string; minutes: number }) => void;
}

export interface RecoveredOnboardings {
  /** Tenants that were marked failed. */
  readonly failed: readonly string[];
  /** Tenants whose execution was started. */
  readonly started: readonly string[];
}

interface Row {
  readonly tenant_id: string;
  readonly execution_arn: string | null;
  readonly age: number;
  readonly provisioning_minutes: number;
  readonly input: string;
}

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
      const { tenant_id: tenantId, provisioning_minutes: minutes } = row;
      try {
        await recover(row);
      } catch (error) {
        // An error with one tenant must not keep the others from being recovered.
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
      await start(named, JSON.parse(row.input));
      recovered.started.push(tenantId);
      return;
    }
    await fail(
      'The workflow of the onboarding ended before the tenant was ready. Send the same input again.',
    );
  }
}

/** By id, with the input that each was registered with. */
function provisioningTenants(
  registry: RegistryExecutor,
  { executionArn, after }: { executionArn: string | undefined; after: string | undefined },
): Promise<Row[]> {
  return registry.query<Row>(
    // A tenant that failed and was resumed is provisioning since then.
    `SELECT t.tenant_id::text AS tenant_id, t.execution_arn,
            extract(epoch FROM now() - t.updated_at)::float8 AS age,
            extract(epoch FROM now() - COALESCE(since.began, t.created_at))::float8 / 60 AS provisioning_minutes,
            jsonb_build_object('name', t.tenant_name, 'slug', t.tenant_slug, 'adminEmail', t.admin_email,
              'tier', t.subscription_tier, 'dataResidency', t.data_residency, 'billingEmail', t.billing_email,
              'complianceRequirements', COALESCE(t.compliance_requirements, '[]'::jsonb))::text AS input
     FROM tenants t
     LEFT JOIN LATERAL (
       SELECT max(a.created_at) AS began FROM control_audit_log a
       WHERE a.tenant_id = t.tenant_id AND a.action IN ('tenant.register', 'tenant.resume')) since ON true
     WHERE t.status = 'provisioning'
       ${executionArn === undefined ? '' : 'AND t.execution_arn = :executionArn'}
       ${after === undefined ? '' : 'AND t.tenant_id > :after::uuid'}
     ORDER BY t.tenant_id LIMIT ${PAGE}`,
    {
      ...(executionArn === undefined ? {} : { executionArn }),
      ...(after === undefined ? {} : { after }),
    },
  );
}
