/**
 * Searches everything that the platform stores for words: all tables and materialized views of all databases of all
 * clusters with the registry, column statistics, names of schemas, roles, replication slots; names of all objects and, for
 * small ones, their decompressed content; names of secrets, accounts, proxies' secrets, stacks, clusters, snapshots.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { CloudFormationClient, ListStacksCommand } from '@aws-sdk/client-cloudformation';
import { CognitoIdentityProviderClient, ListUsersCommand } from '@aws-sdk/client-cognito-identity-provider';
import {
  DescribeDBClusterSnapshotsCommand,
  DescribeDBClustersCommand,
  DescribeDBProxiesCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { GetObjectCommand, ListBucketsCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3';
import { paginateListSecrets, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type pg from 'pg';
import { administrator, type ClusterRecord, ofEachDatabase, type PlatformAt } from './platform-databases.ts';

const SMALL = 256 * 1024;

/** `store: place` of each place that has one of the words, sorted. */
export async function searchEverything(
  platform: PlatformAt,
  words: readonly string[],
  userPoolId: string,
): Promise<string[]> {
  const found = await Promise.all([
    searchDatabases(platform, words),
    searchObjects(platform, words),
    searchNames(platform, words, userPoolId),
  ]);
  return [...new Set(found.flat())].sort();
}

async function searchDatabases(platform: PlatformAt, words: readonly string[]): Promise<string[]> {
  const found: string[][] = [];
  for (const database of ['strata', 'registry']) {
    const search = async (client: pg.Client, { clusterIdentifier }: ClusterRecord) =>
      (await searchTables(client, words)).map((table) => `${clusterIdentifier}: ${table}`);
    found.push(...(await ofEachDatabase(platform, search, database)));
  }
  return found.flat();
}

async function searchTables(client: pg.Client, words: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`,
  );
  const sources = [
    ...rows.map(({ name }) => ({ name, text: `select t::text as text from ${name} t` })),
    { name: 'pg_namespace', text: 'select nspname::text as text from pg_namespace' },
    { name: 'pg_description', text: 'select description as text from pg_description' },
    { name: 'pg_roles', text: 'select rolname::text as text from pg_roles' },
    { name: 'pg_replication_slots', text: 'select slot_name::text as text from pg_replication_slots' },
    { name: 'pg_publication', text: 'select pubname::text as text from pg_publication' },
    {
      name: 'pg_stats',
      text: `select concat(most_common_vals::text, histogram_bounds::text) as text from pg_stats`,
    },
  ];
  const found: string[] = [];
  for (const { name, text } of sources) {
    try {
      const result = await client.query<{ found: boolean }>(
        `select exists (select from (${text}) s where s.text like any ($1)) as found`,
        [words.map((word) => `%${word}%`)],
      );
      if (result.rows[0]?.found) found.push(name);
    } catch (error) {
      // Another test has dropped it meanwhile.
      if (!['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) throw error;
    }
  }
  return found;
}

async function searchObjects({ awsUrl }: PlatformAt, words: readonly string[]): Promise<string[]> {
  const client = new S3Client({ ...administrator(awsUrl), forcePathStyle: true });
  const { Buckets = [] } = await client.send(new ListBucketsCommand({}));
  const found: string[] = [];
  for (const { Name: Bucket } of Buckets) {
    for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket })) {
      for (const { Key = '', Size = 0 } of Contents) {
        const isNamed = words.some((word) => Key.includes(word));
        if (isNamed || (Size <= SMALL && (await hasWord(client, { Bucket, Key }, words))))
          found.push(`object ${Key}`);
      }
    }
  }
  return found;
}

async function hasWord(
  client: S3Client,
  object: { Bucket: string | undefined; Key: string },
  words: readonly string[],
): Promise<boolean> {
  try {
    const { Body } = await client.send(new GetObjectCommand(object));
    const text = plain(Buffer.from(await Body!.transformToByteArray())).toString('latin1');
    return words.some((word) => text.includes(word));
  } catch {
    // Another test has deleted it meanwhile.
    return false;
  }
}

function plain(bytes: Buffer): Buffer {
  for (const decompress of [zstdDecompressSync, gunzipSync]) {
    try {
      return decompress(bytes);
    } catch {
      // It is compressed otherwise, or not.
    }
  }
  return bytes;
}

async function searchNames(
  { awsUrl }: PlatformAt,
  words: readonly string[],
  userPoolId: string,
): Promise<string[]> {
  const settings = administrator(awsUrl);
  const rds = new RDSClient(settings);
  const [proxies, dbClusters, snapshots, stacks, users] = await Promise.all([
    rds.send(new DescribeDBProxiesCommand({})),
    rds.send(new DescribeDBClustersCommand({})),
    rds.send(new DescribeDBClusterSnapshotsCommand({})),
    new CloudFormationClient(settings).send(new ListStacksCommand({})),
    new CognitoIdentityProviderClient(settings).send(new ListUsersCommand({ UserPoolId: userPoolId })),
  ]);
  const secrets: string[] = [];
  const query = { IncludePlannedDeletion: true };
  for await (const { SecretList = [] } of paginateListSecrets(
    { client: new SecretsManagerClient(settings) },
    query,
  ))
    secrets.push(...SecretList.map((secret) => JSON.stringify(secret)));
  const all: Record<string, string[]> = {
    secret: secrets,
    proxy: (proxies.DBProxies ?? []).map((proxy) => JSON.stringify(proxy)),
    cluster: (dbClusters.DBClusters ?? []).map((cluster) => JSON.stringify(cluster)),
    snapshot: (snapshots.DBClusterSnapshots ?? []).map((snapshot) => JSON.stringify(snapshot)),
    stack: (stacks.StackSummaries ?? [])
      .filter(({ StackStatus }) => StackStatus !== 'DELETE_COMPLETE')
      .map((stack) => JSON.stringify(stack)),
    account: (users.Users ?? []).map((user) => JSON.stringify(user)),
  };
  return Object.entries(all).flatMap(([kind, texts]) =>
    texts
      .filter((text) => words.some((word) => text.includes(word)))
      .map((text) => `${kind} ${text.slice(0, 200)}`),
  );
}
