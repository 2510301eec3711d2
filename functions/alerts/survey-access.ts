/**
 * Reads what a tenant's audit log tells about access, and the latest verification of the log itself. Reads are bounded: each
 * takes the newest entries of an index up to a limit, and the days before are read only when the present ones are many.
 *
 * Actors are the ids of users, never their addresses; operators and the platform have the names of the audit log.
 */
import type pg from 'pg';
import * as z from 'zod';
import { qualified } from '../database/ddl/identifier.ts';
import { VERIFICATION_ENTRY } from '../tenant-data/verification-result.ts';

const count = z.int().nonnegative();
const days = z.object({
  /** Of each earlier day that has entries, in no order. */
  totals: z.array(count),
});

export const accessObservation = z.object({
  tenantId: z.string(),
  /** The actor with the most refusals (403, 404) of the last hour. */
  refusals: z.nullable(z.object({ actor: z.string(), count })),
  /** The operator with the most requests of the last hour, and all operators' requests of earlier days. */
  operator: z.nullable(z.object({ actor: z.string(), count, days: z.nullable(days) })),
  /** The actor with the most changes of the last day, and all actors' changes of earlier days. */
  changes: z.nullable(z.object({ actor: z.string(), count, days: z.nullable(days) })),
  /** Operators who had their first access within the last day; only for a tenant with encrypted fields. */
  newOperators: z.array(z.string()),
  /** What the latest verification found; null when it found the log intact, or there was none. */
  brokenChain: z.nullable(z.object({ checkedAt: z.string(), firstBroken: z.unknown() })),
});
export type AccessObservation = z.infer<typeof accessObservation>;

/** Below these counts nothing has to be judged, so the days before are not read. */
export interface AccessFloors {
  readonly refusalsAnHour: number;
  readonly operatorRequestsAnHour: number;
  readonly changesADay: number;
}

/** Entries that are read of the present, and of the days before. */
const PRESENT = 5_000;
const PAST = 20_000;
const PAST_DAYS = 14;
/** Rows among which an encrypted field is looked for. */
const EMPLOYEES = 2_000;

/** @returns undefined when the tenant is not in this database any more. @throws the driver's errors. */
export async function surveyAccess(
  owner: pg.ClientBase,
  tenantId: string,
  floors: AccessFloors,
): Promise<AccessObservation | undefined> {
  return inTenant(owner, tenantId, async (schemaName) => {
    const log = qualified(schemaName, 'audit_log');
    const [recent, operators] = [await readPresent(owner, log), await readOperators(owner, log)];
    const busiest = operators.reduce<OperatorRow | undefined>(
      (most, one) => (one.hour > (most?.hour ?? 0) ? one : most),
      undefined,
    );
    const { refusals, changes } = recent;
    const past = async (condition: string) => ({ totals: await readPast(owner, log, condition) });
    return {
      tenantId,
      refusals,
      operator: busiest
        ? {
            actor: busiest.actor,
            count: busiest.hour,
            days: busiest.hour >= floors.operatorRequestsAnHour ? await past(OPERATOR) : null,
          }
        : null,
      changes: changes && {
        ...changes,
        days: changes.count >= floors.changesADay ? await past(CHANGE) : null,
      },
      newOperators:
        operators.length > 0 && (await hasEncryptedFields(owner, schemaName))
          ? operators.filter(({ isNew }) => isNew).map(({ actor }) => actor)
          : [],
      brokenChain: await readVerification(owner, log, tenantId),
    };
  });
}

const REFUSAL = "action = 'request.refused'";
const OPERATOR = "action = 'operator.access'";
/** Entries of requests that changed something, and none of the platform's own. */
const CHANGE = `action not in ('request.refused', 'operator.access')
  and (actor is null or actor not like 'platform:%')`;
const ACTOR = "coalesce(user_id::text, actor, 'unknown')";

interface Busiest {
  readonly actor: string;
  readonly count: number;
}

async function readPresent(
  owner: pg.ClientBase,
  log: string,
): Promise<{ refusals: Busiest | null; changes: Busiest | null }> {
  const busiest = (condition: string, span: string) => `
    select ${ACTOR} as actor, count(*)::int as count from (
      select user_id, actor from ${log} where ${condition} and created_at > now() - interval '${span}'
      order by created_at desc limit ${PRESENT}) as latest
    group by 1 order by 2 desc, 1 limit 1`;
  const { rows } = await owner.query<{ refusals: Busiest | null; changes: Busiest | null }>(
    `select (select to_jsonb(b) from (${busiest(`${REFUSAL} and response_status in (403, 404)`, '1 hour')}) b) as refusals,
            (select to_jsonb(b) from (${busiest(CHANGE, '24 hours')}) b) as changes`,
  );
  return rows[0] ?? { refusals: null, changes: null };
}

interface OperatorRow {
  readonly actor: string;
  /** Requests of the last hour. */
  readonly hour: number;
  readonly isNew: boolean;
}

/** Operators of the last day. */
async function readOperators(owner: pg.ClientBase, log: string): Promise<OperatorRow[]> {
  const { rows } = await owner.query<OperatorRow>(
    `with latest as materialized (
       select coalesce(actor, 'unknown') as actor, created_at from ${log}
       where ${OPERATOR} and created_at > now() - interval '24 hours' order by created_at desc limit ${PRESENT}),
     operators as (
       select actor, (count(*) filter (where created_at > now() - interval '1 hour'))::int as hour
       from latest group by actor)
     select o.actor, o.hour,
            not exists (select from ${log} a where a.actor = o.actor and a.${OPERATOR}
                        and a.created_at <= now() - interval '24 hours') as "isNew"
     from operators o`,
  );
  return rows;
}

/** Entries of each earlier day that has any. The oldest day is left out where the limit may have cut it. */
async function readPast(owner: pg.ClientBase, log: string, condition: string): Promise<number[]> {
  const { rows } = await owner.query<{ day: string; total: number }>(
    `select date_trunc('day', created_at)::text as day, count(*)::int as total from (
       select created_at from ${log}
       where ${condition} and created_at <= now() - interval '24 hours'
         and created_at > now() - interval '${PAST_DAYS + 1} days'
       order by created_at desc limit ${PAST}) as earlier
     group by 1 order by 1`,
  );
  const totals = rows.map(({ total }) => total);
  const read = totals.reduce((sum, total) => sum + total, 0);
  return read >= PAST ? totals.slice(1) : totals;
}

async function hasEncryptedFields(owner: pg.ClientBase, schemaName: string): Promise<boolean> {
  const { rows } = await owner.query<{ has: boolean }>(
    `select exists (select from (
       select ssn_encrypted is not null or salary_encrypted is not null as has
       from ${qualified(schemaName, 'employees')} limit ${EMPLOYEES}) as looked where has) as has`,
  );
  return rows[0]?.has ?? false;
}

async function readVerification(
  owner: pg.ClientBase,
  log: string,
  tenantId: string,
): Promise<AccessObservation['brokenChain']> {
  const { actor, action, resourceType } = VERIFICATION_ENTRY;
  const { rows } = await owner.query<{ at: string; status: string | null; broken: unknown }>(
    `select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at,
            request_data ->> 'status' as status, request_data -> 'firstBroken' as broken
     from ${log} where resource_type = $1 and resource_id = $2 and action = $3 and actor = $4
     order by created_at desc, log_id desc limit 1`,
    [resourceType, tenantId, action, actor],
  );
  const [latest] = rows;
  return latest?.status === 'broken' ? { checkedAt: latest.at, firstBroken: latest.broken } : null;
}

/** A fence does not prevent reading: its token is taken from the row. */
async function inTenant<Result>(
  owner: pg.ClientBase,
  tenantId: string,
  work: (schemaName: string) => Promise<Result>,
): Promise<Result | undefined> {
  await owner.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '5s';
     SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '1s'; SET LOCAL transaction_timeout = '30s'`,
  );
  try {
    const { rows } = await owner.query<{ schema_name: string; fence_token: string | null }>(
      "select schema_name, fence_token from tenancy.placement where tenant_id = $1 and state <> 'moved'",
      [tenantId],
    );
    const [place] = rows;
    if (place) await owner.query('select tenancy.enter_move($1, $2)', [tenantId, place.fence_token]);
    const result = place && (await work(place.schema_name));
    await owner.query('COMMIT');
    return result;
  } catch (error) {
    await owner.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
