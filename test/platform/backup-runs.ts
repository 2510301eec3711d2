import { ListBucketsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { DescribeExecutionCommand, type SFNClient } from '@aws-sdk/client-sfn';
import type pg from 'pg';
import { vi } from 'vitest';
import {
  administrator,
  asSuperuser,
  type ClusterRecord,
  clusters,
  ofEachDatabase,
  type PlatformAt,
} from './platform-databases.ts';
import { ASK_EVERY_MS, call, operatorToken, platform } from './running-platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: a backup as the API tells it.
export type BackupBody = any;

/** Waits for the end of a backup. */
export async function ended(location: string): Promise<BackupBody> {
  let backup: BackupBody;
  const over = async () => {
    backup = (await call('GET', location, { token: await operatorToken() })).body;
    return backup.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 60_000, interval: ASK_EVERY_MS });
  return backup;
}

/** Waits for the end of an execution; answers what Step Functions says of it. */
export async function executionOf(states: SFNClient, executionArn: string) {
  return vi.waitUntil(
    async () => {
      const execution = await states.send(new DescribeExecutionCommand({ executionArn }));
      return execution.status !== 'RUNNING' && execution;
    },
    { timeout: 180_000, interval: ASK_EVERY_MS },
  );
}

/** The platform's backup bucket, as an administrator sees it. */
export class BackupBucketView {
  readonly client = new S3Client({ ...administrator(platform().awsUrl), forcePathStyle: true });
  #name: string | undefined;

  async name(): Promise<string> {
    if (this.#name === undefined) {
      const { Buckets = [] } = await this.client.send(new ListBucketsCommand({}));
      this.#name = Buckets.map(({ Name = '' }) => Name).find((name) => /bucketbackups/i.test(name));
    }
    if (this.#name === undefined) throw new Error('there is no backup bucket');
    return this.#name;
  }

  async objects(prefix: string): Promise<string[]> {
    const { Contents = [] } = await this.client.send(
      new ListObjectsV2Command({ Bucket: await this.name(), Prefix: prefix }),
    );
    return Contents.map(({ Key = '' }) => Key);
  }
}

/** Runs a statement in the registry, past its roles. */
export async function inRegistry(statement: string, values: readonly unknown[] = []) {
  const [cluster] = await clusters(platform(), 'registry');
  const registry = await asSuperuser(platform(), cluster as ClusterRecord);
  try {
    return (await registry.query(statement, [...values])).rows;
  } finally {
    await registry.end();
  }
}

/** A connection to the database that has the tenant, with the name of its schema there. */
export async function databaseOf(
  tenantId: string,
  at: PlatformAt = platform(),
): Promise<{ client: pg.Client; schema: string }> {
  const [home] = (
    await ofEachDatabase(at, async (client, cluster) => {
      const { rows } = await client.query<{ schema: string }>(
        `SELECT schema_name AS schema FROM tenancy.placement WHERE tenant_id = $1 AND state <> 'moved'`,
        [tenantId],
      );
      return rows.map(({ schema }) => ({ cluster, schema }));
    })
  ).flat();
  if (!home) throw new Error(`no database has the tenant ${tenantId}`);
  return { client: await asSuperuser(at, home.cluster), schema: home.schema };
}

/** Runs a statement in the tenant's database, past its roles. */
export async function inDatabaseOf(tenantId: string, statement: (schema: string) => string): Promise<void> {
  const { client, schema } = await databaseOf(tenantId, platform());
  try {
    await client.query(statement(schema));
  } finally {
    await client.end();
  }
}

/** Locks a table of the tenant's against readers until the connection ends, so that whoever reads it waits. */
export async function lockTables(tenantId: string, at: PlatformAt = platform()): Promise<pg.Client> {
  const { client, schema } = await databaseOf(tenantId, at);
  await client.query('BEGIN');
  await client.query(`LOCK TABLE ${schema}.skills IN ACCESS EXCLUSIVE MODE`);
  return client;
}
