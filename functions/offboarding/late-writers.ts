/**
 * Whether a function may still write objects of the tenant although the record of its work has ended.
 *
 * A backup or an export ends without success when its execution is stopped, fails or is lost. The functions that the execution
 * has invoked run on, and look at the record between two objects only. One that has begun an object may still store it:
 *
 *   record:    running ──ended as failed or aborted──────────────┐
 *   function:  ──invoked──▶ reads the record ──▶ writes an object ──▶ ... ──▶ is ended by Lambda, 900 s after it was invoked
 *
 * No function that is invoked after the end writes anything, because each reads the record first. So nothing is written later
 * than 900 s after the end. What has succeeded has waited for its functions.
 */
import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** The longest timeout of a function (AWS Lambda, "Lambda quotas"). */
const LONGEST_INVOCATION_SECONDS = 900;
/** A request that S3 has received is done by then. */
const REQUEST_SECONDS = 30;

/** @throws the registry's errors. */
export async function hasLateWriters(registry: RegistryExecutor, tenantId: string): Promise<boolean> {
  const seconds = sql.lit(LONGEST_INVOCATION_SECONDS + REQUEST_SECONDS);
  const db = registrySql(registry);
  const { late } = await db
    .selectNoFrom((eb) =>
      eb
        .or(
          (['tenant_backups', 'tenant_exports'] as const).map((table) =>
            eb.exists(
              eb
                .selectFrom(table)
                .select('tenant_id')
                .where('tenant_id', '=', tenantId)
                .where('status', 'in', ['failed', 'aborted'])
                .where(sql<boolean>`finished_at > now() - ${seconds} * interval '1 second'`),
            ),
          ),
        )
        .$castTo<boolean>()
        .as('late'),
    )
    .executeTakeFirstOrThrow();
  return late;
}
