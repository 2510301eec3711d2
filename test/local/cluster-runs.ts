/** PostgreSQL clusters of one state directory, in runs that follow each other: of one test file, which calls `useClusterRuns`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { afterAll, afterEach, beforeAll } from 'vitest';
import {
  type ClusterServer,
  type ClusterSpec,
  internals,
  type LocalCertificates,
  overConnection,
  type PostgresFiles,
  stateFile,
} from '../../infra/local/index.ts';
import { newDirectory } from './running-fixture.ts';

const {
  localCertificates,
  PostgresClusters,
  preparePostgresFiles,
  claimStateDirectory,
  prepareStateDirectory,
} = await internals();
type PostgresClusters = InstanceType<typeof PostgresClusters>;

export let stateDir: string;
export let files: PostgresFiles;
export let certificates: LocalCertificates;
export const open: PostgresClusters[] = [];

/** Gives the test file a state directory; ends each test's runs after it. */
export function useClusterRuns(): void {
  let root: string;
  beforeAll(async () => {
    root = newDirectory();
    stateDir = claimStateDirectory(join(root, 'state'));
    prepareStateDirectory(stateDir);
    files = preparePostgresFiles(stateDir);
    certificates = await localCertificates(join(stateDir, 'tls'));
  });
  afterEach(async () => {
    await Promise.all(open.map((clusters) => clusters.stop()));
    open.length = 0;
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
}

/** A new run of the platform's databases on the same state. */
export function newRun(log: (line: string) => void = () => {}): PostgresClusters {
  const clusters = new PostgresClusters(files, certificates, stateFile(join(stateDir, 'state')), log);
  open.push(clusters);
  return clusters;
}

export function spec(clusterIdentifier: string, parameters: Record<string, string> = {}): ClusterSpec {
  return {
    clusterIdentifier,
    arn: `arn:aws:rds:us-east-1:000000000000:cluster:${clusterIdentifier}`,
    databaseName: 'strata',
    masterUsername: 'strata_master',
    masterPassword: "it's secret",
    parameters: { 'rds.logical_replication': '1', ...parameters },
  };
}

export function masterConnection(server: ClusterServer, change: ClientConfig = {}): ClientConfig {
  return {
    host: server.host,
    port: server.port,
    database: server.databaseName,
    user: server.masterUsername,
    password: "it's secret",
    ssl: { ca: certificates.caCertificate },
    ...change,
  };
}

export async function query<T>(connection: ClientConfig, sql: string): Promise<T[]> {
  return overConnection(connection, async (client) => (await client.query(sql)).rows as T[]);
}

export async function runInChild(
  cluster: ClusterSpec,
): Promise<{ child: ChildProcess; server: ClusterServer }> {
  const script = join(import.meta.dirname, 'fixture', 'database-run.ts');
  const child = spawn(process.execPath, [script, stateDir, JSON.stringify(cluster)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, server: JSON.parse(line.toString()) as ClusterServer };
}

export function postmasterPid(clusterIdentifier: string): number {
  const file = join(files.clusters, clusterIdentifier, 'data', 'postmaster.pid');
  return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : 0;
}
