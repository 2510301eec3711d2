import type { RegistryExecutor } from '../registry/data-api.ts';
import { secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** State of an execution; `none` when no execution has that name. */
export type ExecutionFate = 'running' | 'failed' | 'ended' | 'none';

/** Reads the state from Step Functions. */
export type ExecutionProbe = (executionArn: string) => Promise<ExecutionFate>;

/** The execution that a provisioning tenant names. */
export interface NamedExecution {
  readonly executionArn: string;
  /** Age of the tenant's last change, in seconds. */
  readonly ageSeconds: number;
}

/** A request registers the tenant a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;

/** undefined when no tenant of that slug is being provisioned, or when it names no execution. */
export async function namedExecution(
  registry: RegistryExecutor,
  slug: string,
): Promise<NamedExecution | undefined> {
  const row = await registrySql(registry)
    .selectFrom('tenants')
    .select((eb) => [
      eb.ref('execution_arn').$notNull().as('execution_arn'),
      secondsSince(eb.ref('updated_at')).as('age'),
    ])
    .where('tenant_slug', '=', slug)
    .where('status', '=', 'provisioning')
    .where('execution_arn', 'is not', null)
    .executeTakeFirst();
  return row && { executionArn: row.execution_arn, ageSeconds: row.age };
}

/**
 * True when the execution can no longer end the onboarding.
 * @param ageSeconds since the last change of its tenant.
 */
export function isDead(fate: ExecutionFate, ageSeconds: number): boolean {
  if (fate === 'none') return ageSeconds >= TIME_TO_START_SECONDS;
  return fate !== 'running';
}
