import type { RegistryExecutor } from '../registry/data-api.ts';
import { secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** What has become of an execution; `none` when there is none of that name. */
export type ExecutionFate = 'running' | 'failed' | 'ended' | 'none';

/** Asks Step Functions. */
export type ExecutionProbe = (executionArn: string) => Promise<ExecutionFate>;

/** The execution that a tenant which is being provisioned names. */
export interface NamedExecution {
  readonly executionArn: string;
  /** Since the tenant was changed last, in seconds. */
  readonly ageSeconds: number;
}

/** A request registers the tenant a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;

/** Undefined where no tenant of that slug is being provisioned, or it names no execution. */
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
 * Whether nothing will come of the execution any more.
 * @param ageSeconds since its tenant was changed last.
 */
export function isDead(fate: ExecutionFate, ageSeconds: number): boolean {
  if (fate === 'none') return ageSeconds >= TIME_TO_START_SECONDS;
  return fate !== 'running';
}
