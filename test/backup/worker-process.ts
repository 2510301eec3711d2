/**
 * One worker of a backup in a process of its own, like the execution environment of a function: it can be killed, and
 * its memory can be measured. Argument: JSON of `WorkerOrder`. If it has to wait for a line, it prints `ready` first.
 * It prints JSON of `WorkerReport` at its end.
 */
import pg from 'pg';
import { ObjectStore } from '../../functions/aws/object-store.ts';
import type { Lane } from '../../functions/backups/backup-ledger.ts';
import { copyParts } from '../../functions/backups/copy-parts.ts';
import { RegistryLedger } from '../../functions/backups/registry-ledger.ts';
import { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { cpuMsSince, untilTold } from './measured-process.ts';
import { readerOf } from './reader.ts';
import { clientOf } from './s3-client.ts';

interface Login {
  readonly user: string;
  readonly password: string;
}

export interface WorkerOrder {
  readonly backupId: string;
  /** Lanes of the process's workers. In AWS each worker has its own process; two lanes here measure both together. */
  readonly lanes: readonly Lane[];
  readonly host: string;
  readonly port: number;
  /** PEM of the server's certificate authority. */
  readonly certificate: string;
  readonly owner: Login;
  readonly registry: Login & { readonly database: string };
  readonly endpoint: string;
  readonly bucket: string;
  /** Waits for a line before it begins, so that loading the modules is not measured. */
  readonly waits?: boolean;
}

export interface WorkerReport {
  readonly done: boolean;
  /** In bytes. */
  readonly peakMemory: number;
  readonly ms: number;
  /** CPU time of the process in milliseconds. */
  readonly cpuMs: number;
}

const order = JSON.parse(process.argv[2] ?? '') as WorkerOrder;
const client = clientOf(order.endpoint);
const connect = async (login: Login, database: string) => {
  const { host, port, certificate } = order;
  const connection = new pg.Client({ host, port, database, ...login, ssl: { ca: certificate } });
  await connection.connect();
  connection.on('error', () => {});
  return connection;
};
if (order.waits) {
  await Promise.all([import('@aws-sdk/client-s3'), import('@aws-sdk/lib-storage')]);
  await untilTold();
}
const [start, cpu] = [performance.now(), process.cpuUsage()];
const outcomes = await Promise.all(
  order.lanes.map(async (lane) => {
    const registry = await connect(order.registry, order.registry.database);
    const context = {
      ledger: new RegistryLedger(new RegistryOverPostgres(registry), order.backupId),
      store: new ObjectStore(order.bucket, {}, async () => client),
      connect: async ({ database }: { readonly database: string }) =>
        readerOf(await connect(order.owner, database)),
    };
    const deadlines = { leave: performance.now() + 600_000, end: performance.now() + 610_000 };
    const { done } = await copyParts(context, lane, deadlines);
    await registry.end();
    return done;
  }),
);
const report: WorkerReport = {
  done: outcomes.every(Boolean),
  peakMemory: process.resourceUsage().maxRSS * 1024,
  ms: performance.now() - start,
  cpuMs: cpuMsSince(cpu),
};
client.destroy();
console.log(JSON.stringify(report));
