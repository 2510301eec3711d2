import { vi } from 'vitest';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { tenantTablesAt } from '../../functions/database/tables/tenant-tables.ts';
import { ended as backupEnded, databaseOf } from './backup-runs.ts';
import { ASK_EVERY_MS, call, operatorToken } from './running-platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: a restore as the API tells it.
export type RestoreBody = any;

/** Backs a tenant up. @returns the backup, which has succeeded. */
export async function backUp(slug: string) {
  const ask = async () => {
    const answer = await call('POST', `/tenants/${slug}/backups`, { token: await operatorToken() });
    // The daily run of another test backs the tenant up just now.
    return answer.status === 409 ? undefined : answer;
  };
  const asked = await vi.waitUntil(ask, { timeout: 60_000, interval: ASK_EVERY_MS });
  const backup = await backupEnded(String(asked.headers.get('location')));
  if (backup.status !== 'succeeded') throw new Error(`the backup has ${backup.status}: ${backup.reason}`);
  return backup;
}

export interface RestoreRequest {
  /** Restore that is undone. */
  readonly undoOf?: string | undefined;
  readonly headers?: Record<string, string>;
}

/** Refusals because of what another test does with what all tests share: a rollout, other passwords of a cell. */
export const BUSY_WITH_ANOTHER_TEST = /rollout is running|credentials that .* depends on are being replaced/;

/** Asks for a restore, or for an undo; answers what the API answers, once no other test is in the way. */
export async function askRestore(slug: string, body: unknown, { undoOf, headers = {} }: RestoreRequest = {}) {
  const path = `/tenants/${slug}/restores${undoOf === undefined ? '' : `/${undoOf}/undo`}`;
  const token = await operatorToken();
  return vi.waitUntil(
    async () => {
      const answer = await call('POST', path, { token, body, headers });
      return BUSY_WITH_ANOTHER_TEST.test(String(answer.body?.detail)) ? undefined : answer;
    },
    { timeout: 60_000, interval: ASK_EVERY_MS },
  );
}

/** Restores a tenant and waits for the end. */
export async function restore(slug: string, body: object, undoOf?: string): Promise<RestoreBody> {
  const { status, headers, body: answer } = await askRestore(slug, body, { undoOf });
  if (status !== 202) throw new Error(`the restore was answered ${status}: ${JSON.stringify(answer)}`);
  return restoreEnded(String(headers.get('location')));
}

export const undo = (slug: string, restoreId: string) => restore(slug, {}, restoreId);

export async function restoreEnded(location: string): Promise<RestoreBody> {
  let body: RestoreBody;
  const over = async () => {
    body = (await call('GET', location, { token: await operatorToken() })).body;
    return body.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 90_000, interval: ASK_EVERY_MS });
  return body;
}

/** All rows of the tenant where it lives now, by table, past its roles. The record of requests and of keys is left out. */
export async function rowsOf(tenantId: string): Promise<Record<string, unknown[]>> {
  const { client, schema } = await databaseOf(tenantId);
  try {
    const found: Record<string, unknown[]> = {};
    for (const { name } of tenantTablesAt(TENANT_SCHEMA_VERSION)) {
      if (['audit_log', 'audit_seals', 'idempotency_keys', 'move_markers'].includes(name)) continue;
      const condition = schema === 'shared' ? 'WHERE t.tenant_id = $1' : '';
      const { rows } = await client.query(
        `SELECT (pg_catalog.to_jsonb(t) - 'tenant_id') AS row FROM ${schema}.${name} t ${condition} ORDER BY 1`,
        schema === 'shared' ? [tenantId] : [],
      );
      found[name] = rows.map(({ row }) => row);
    }
    return found;
  } finally {
    await client.end();
  }
}
