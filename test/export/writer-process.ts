/**
 * The phases `write` and `finish` of an export in a process of their own, like the execution environment of a function:
 * it can be killed, and its memory can be measured. Argument: JSON of `WriterOrder`. Prints JSON of `WriterReport` at
 * its end.
 */
import pg from 'pg';
import { ObjectStore } from '../../functions/aws/object-store.ts';
import { finishExport } from '../../functions/exports/finish-export.ts';
import { writeParts } from '../../functions/exports/write-parts.ts';
import { clientOf } from '../backup/s3-client.ts';
import { RegistryOverPostgres } from '../registry-over-postgres.ts';

export interface WriterOrder {
  readonly exportId: string;
  readonly registry: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
    readonly database: string;
  };
  readonly endpoint: string;
  readonly bucket: string;
}

export interface WriterReport {
  /** In bytes. */
  readonly peakMemory: number;
  readonly writeMs: number;
  readonly finishMs: number;
}

const { exportId, registry: login, endpoint, bucket } = JSON.parse(process.argv[2] ?? '') as WriterOrder;
const client = clientOf(endpoint);
const connection = new pg.Client(login);
await connection.connect();
const registry = new RegistryOverPostgres(connection);
const store = new ObjectStore(bucket, {}, async () => client);
const start = performance.now();
await writeParts({ registry, store, exportId }, Number.POSITIVE_INFINITY);
const written = performance.now();
await finishExport({ registry, store, exportId }, { id: 'execution', type: 'workflow' });
const report: WriterReport = {
  peakMemory: process.resourceUsage().maxRSS * 1024,
  writeMs: written - start,
  finishMs: performance.now() - written,
};
await connection.end();
client.destroy();
console.log(JSON.stringify(report));
