import { ListSecretsCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type pg from 'pg';
import { administrator, ofEachDatabase, type PlatformAt } from './platform-databases.ts';

/**
 * Everything that a tenant has left in the databases and in Secrets Manager, `cluster: kind name` each, sorted:
 * schemas, roles, publications, subscriptions, slots, rows in shared tables, captured changes, fences, claims, secrets.
 * Ids are replaced by `ID`.
 */
export async function tracesOf(platform: PlatformAt, tenantId: string): Promise<string[]> {
  const hex = tenantId.replaceAll('-', '');
  const traces = await ofEachDatabase(platform, async (client, { clusterIdentifier }) => {
    const { rows } = await client.query<{ trace: string }>(TRACES, [hex, tenantId]);
    const found = rows.map(({ trace }) => trace);
    if (await hasSharedTables(client)) {
      for (const table of await sharedTables(client)) {
        const counted = await client.query<{ rows: number }>(
          `select count(*)::int as rows from shared.${table} where tenant_id = $1`,
          [tenantId],
        );
        if ((counted.rows[0]?.rows ?? 0) > 0) found.push(`rows in shared.${table}`);
      }
    }
    return found.map((trace) => `${clusterIdentifier}: ${trace}`);
  });
  return [...traces.flat(), ...(await secrets(platform, tenantId))]
    .map((trace) => trace.replaceAll(tenantId, 'ID').replaceAll(hex, 'ID'))
    .sort();
}

const TRACES = `
  select 'schema ' || nspname as trace from pg_namespace where nspname like '%' || $1 || '%'
  union all select 'role ' || rolname from pg_roles where rolname like '%' || $1 || '%'
  union all select 'publication ' || pubname from pg_publication where pubname like '%' || $1 || '%'
  union all select 'subscription ' || subname from pg_subscription where subname like '%' || $1 || '%'
  union all select 'slot ' || slot_name from pg_replication_slots
            where slot_name like '%' || $1 || '%' or slot_name like 'pg\\_%\\_sync\\_%'
  union all select 'captured changes' from tenancy.captured_changes where tenant_id = $2::uuid group by 1
  union all select 'home ' || isolation_model || ' ' || schema_name from tenancy.placement
            where tenant_id = $2::uuid and state <> 'moved'
  union all select 'fence' from tenancy.placement where tenant_id = $2::uuid and state = 'fenced'
  union all select 'capture' from tenancy.placement where tenant_id = $2::uuid and capture
  union all select 'claim' from tenancy.placement where tenant_id = $2::uuid and mover is not null`;

async function hasSharedTables(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(`select to_regclass('shared.employees') as found`);
  return rows[0]?.found !== null;
}

async function sharedTables(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'shared'::regnamespace
       and relkind in ('r', 'p') and not relispartition and relname not like 'shared_schema%'`,
  );
  return rows.map(({ name }) => name);
}

async function secrets({ awsUrl }: PlatformAt, tenantId: string): Promise<string[]> {
  const client = new SecretsManagerClient(administrator(awsUrl));
  const { SecretList = [] } = await client.send(
    new ListSecretsCommand({ Filters: [{ Key: 'name', Values: [`strata/tenant/${tenantId}/`] }] }),
  );
  return SecretList.map(({ Name }) => `secret ${Name}`);
}
