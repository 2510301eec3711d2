import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

/** Where a platform keeps its state, and where its AWS endpoint answers. */
export interface PlatformAt {
  readonly stateDir: string;
  readonly awsUrl: string;
  /** us-east-1 when absent. */
  readonly awsRegion?: string;
}

export interface ClusterRecord {
  readonly clusterIdentifier: string;
  readonly port: number;
  readonly databaseName: string;
}

/** The platform's clusters with that database; those with tenants' data when absent. */
export async function clusters(
  { awsUrl, awsRegion }: PlatformAt,
  databaseName = 'strata',
): Promise<ClusterRecord[]> {
  const { DescribeDBClustersCommand, RDSClient } = await import('@aws-sdk/client-rds');
  const rds = new RDSClient(administrator(awsUrl, awsRegion));
  const { DBClusters = [] } = await rds.send(new DescribeDBClustersCommand({}));
  return DBClusters.filter(
    ({ DatabaseName, Status }) => DatabaseName === databaseName && Status !== 'deleting',
  ).map((cluster) => ({
    clusterIdentifier: (cluster.DBClusterIdentifier ?? '').replace(/^strata-tenant-.*/, 'dedicated'),
    port: Number(cluster.Port),
    databaseName,
  }));
}

/** A connection of the platform's own superuser, which the caller ends. */
export async function asSuperuser(
  { stateDir }: PlatformAt,
  { port, databaseName }: ClusterRecord,
): Promise<pg.Client> {
  const file = join(stateDir, 'state/postgres-superuser.json');
  const { password } = JSON.parse(readFileSync(file, 'utf8')) as { password: string };
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    database: databaseName,
    user: 'rdsadmin',
    password,
    ssl: { ca: readFileSync(join(stateDir, 'tls/ca.crt'), 'utf8') },
  });
  // Another test may delete the cluster: the next query fails then.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/**
 * Asks each database of that name, except one of another test that is not bootstrapped yet, or is deleted meanwhile.
 * @returns all answers.
 */
export async function ofEachDatabase<T>(
  platform: PlatformAt,
  ask: (client: pg.Client, cluster: ClusterRecord) => Promise<T>,
  databaseName?: string,
): Promise<T[]> {
  const answers: T[] = [];
  for (const cluster of await clusters(platform, databaseName)) {
    let client: pg.Client | undefined;
    try {
      client = await asSuperuser(platform, cluster);
      if (await isBootstrapped(client)) answers.push(await ask(client, cluster));
    } catch (error) {
      const remaining = await clusters(platform, databaseName);
      if (remaining.some(({ port }) => port === cluster.port)) throw error;
    } finally {
      await client?.end().catch(() => {});
    }
  }
  return answers;
}

async function isBootstrapped(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ is: boolean }>(
    `SELECT to_regclass('tenancy.placement') IS NOT NULL OR to_regclass('tenants') IS NOT NULL AS is`,
  );
  return rows[0]?.is ?? false;
}

/** Runs a statement in each database of that name. @returns the rows of all. */
export async function inDatabases(
  platform: PlatformAt,
  statement: string,
  databaseName?: string,
): Promise<Record<string, unknown>[]> {
  const run = async (client: pg.Client) => (await client.query<Record<string, unknown>>(statement)).rows;
  return (await ofEachDatabase(platform, run, databaseName)).flat();
}

export function administrator(endpoint: string, region = 'us-east-1') {
  const credentials = { accessKeyId: 'administrator', secretAccessKey: 'local' };
  return { endpoint, region, credentials };
}
