/** A platform that is killed with its databases' servers left behind, at each state of a restored cluster. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  CreateDBInstanceCommand,
  type DBCluster,
  DeleteDBClusterCommand,
  DeleteDBInstanceCommand,
  DescribeDBClustersCommand,
  RDSClient,
  RestoreDBClusterToPointInTimeCommand,
} from '@aws-sdk/client-rds';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { overConnection } from '../../../infra/local/index.ts';
import { newDirectory, unusedPorts } from '../running-fixture.ts';
import { writeAssembly } from './assembly.ts';

const MASTER = { user: 'strata_master', password: 'master-password' };
const SIDE = 'side';
const POLL = { timeout: 60_000, interval: 20 };
const root = newDirectory();
const stateDir = join(root, 'state');
const postgres = join(stateDir, 'postgres');

let cdkOut: string;
let ports: [number, number];
let platform: ChildProcess;
let rds: RDSClient;

beforeAll(async () => {
  cdkOut = writeAssembly(join(root, 'cdk.out'), [
    {
      name: 'Data',
      resources: {
        Cell: {
          Type: 'AWS::RDS::DBCluster',
          Properties: {
            DBClusterIdentifier: 'cell',
            DatabaseName: 'strata',
            MasterUsername: MASTER.user,
            MasterUserPassword: MASTER.password,
            BackupRetentionPeriod: 14,
          },
        },
      },
    },
  ]);
  ports = await unusedPorts();
  const credentials = { accessKeyId: 'administrator', secretAccessKey: 'any' };
  rds = new RDSClient({ endpoint: `http://localhost:${ports[1]}`, region: 'us-east-1', credentials });
  await start();
});
afterAll(async () => {
  if (platform.exitCode === null && platform.signalCode === null) {
    platform.kill('SIGINT');
    await once(platform, 'exit');
  }
  rmSync(root, { recursive: true, force: true });
});

/** @throws {Error} with what the platform printed when it ends before it is ready */
async function start(): Promise<void> {
  const script = join(import.meta.dirname, '..', 'fixture', 'platform-run.ts');
  platform = spawn(process.execPath, [script, cdkOut, '--point-in-time-recovery'], {
    env: { ...process.env, STRATA_DIR: stateDir, API_PORT: String(ports[0]), AWS_PORT: String(ports[1]) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  await new Promise<void>((resolve, reject) => {
    for (const stream of [platform.stdout!, platform.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        out += text;
        if (/^ready /m.test(out)) resolve();
      });
    }
    platform.once('close', () => reject(new Error(out)));
  });
}

/** Servers of databases go on running. */
async function kill(): Promise<void> {
  platform.kill('SIGKILL');
  await once(platform, 'exit');
}

async function cluster(DBClusterIdentifier: string): Promise<DBCluster> {
  return (await rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier }))).DBClusters![0]!;
}

async function query(identifier: string, sql: string): Promise<Record<string, unknown>[]> {
  const { Port } = await cluster(identifier);
  const ssl = { ca: readFileSync(join(stateDir, 'tls', 'ca.crt'), 'utf8') };
  const connection = { host: '127.0.0.1', port: Port!, database: 'strata', ...MASTER, ssl };
  return overConnection(connection, async (client) => (await client.query(sql)).rows);
}

const isRecovering = () => {
  const record = join(postgres, SIDE, 'cluster.json');
  return existsSync(record) && readFileSync(record, 'utf8').includes('"isRecovering":true');
};

test('a restore that a kill interrupts begins anew at the next start, to the same time', async () => {
  await expect.poll(async () => (await cluster('cell')).EarliestRestorableTime, POLL).toBeDefined();
  await query('cell', "CREATE TABLE kept (value text); INSERT INTO kept VALUES ('before')");
  const RestoreToTime = new Date();
  while (Date.now() <= RestoreToTime.getTime());
  await query('cell', "INSERT INTO kept VALUES ('after')");
  await rds.send(
    new RestoreDBClusterToPointInTimeCommand({
      SourceDBClusterIdentifier: 'cell',
      DBClusterIdentifier: SIDE,
      RestoreToTime,
    }),
  );
  await expect.poll(isRecovering, { ...POLL, interval: 1 }).toBe(true);
  await kill();
  expect(isRecovering()).toBe(true);
  await start();
  expect((await cluster(SIDE)).Status).toMatch(/^(?:creating|available)$/);
  await expect.poll(async () => (await cluster(SIDE)).Status, POLL).toBe('available');
});

test('an instance that was answered for serves after a kill, what was committed until that time and no more', async () => {
  await rds.send(
    new CreateDBInstanceCommand({
      DBClusterIdentifier: SIDE,
      DBInstanceIdentifier: `${SIDE}-writer`,
      DBInstanceClass: 'db.serverless',
      Engine: 'aurora-postgresql',
    }),
  );
  await kill();
  await start();
  await expect
    .poll(() => query(SIDE, 'SELECT value FROM kept').catch(() => undefined), POLL)
    .toEqual([{ value: 'before' }]);
  // What the side cluster writes is its own, and outlives a kill as everything else does.
  await query(SIDE, "INSERT INTO kept VALUES ('on the side')");
  await kill();
  await start();
  await expect.poll(() => query(SIDE, 'SELECT value FROM kept').catch(() => []), POLL).toHaveLength(2);
  expect(await query('cell', 'SELECT value FROM kept')).toEqual([{ value: 'before' }, { value: 'after' }]);
});

test('a deletion that was answered for is done after a kill', async () => {
  await rds.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier: `${SIDE}-writer` }));
  await rds.send(new DeleteDBClusterCommand({ DBClusterIdentifier: SIDE, SkipFinalSnapshot: true }));
  await kill();
  await start();
  await expect
    .poll(() => cluster(SIDE).catch((error: Error) => error.name), POLL)
    .toBe('DBClusterNotFoundFault');
  await expect.poll(() => existsSync(join(postgres, SIDE)), POLL).toBe(false);
});
