import type pg from 'pg';

/** How many requests were run again while the tenant was here, under any of the epochs. */
export async function retriedRequests(
  owner: pg.ClientBase,
  tenantId: string,
  epochs: readonly number[],
): Promise<number> {
  const { rows } = await owner.query<{ requests: number }>(
    `select coalesce(sum(requests), 0)::integer as requests from tenancy.retried_requests
     where tenant_id = $1 and epoch = any ($2::bigint[])`,
    [tenantId, epochs],
  );
  return rows[0]?.requests ?? 0;
}
