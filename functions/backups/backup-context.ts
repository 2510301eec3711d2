import { Socket } from 'node:net';
import type pg from 'pg';
import type { ObjectStore } from '../aws/object-store.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import type { BackupLedger, BackupRecord } from './backup-ledger.ts';
import { BackupOvertaken } from './errors.ts';

/** Registry, bucket and connections for the phases of a backup. */
export interface BackupContext {
  readonly ledger: BackupLedger;
  readonly store: ObjectStore;
  readonly connect?: ConnectReader;
  /** If the database is a restored copy: the time of its rows, RFC 3339. Absent for a live database. */
  readonly rowsOf?: string | undefined;
}

/**
 * A connection as the owner of the database. It goes to the cluster directly, because the proxy accepts request roles
 * only.
 */
export interface Reader {
  readonly client: pg.Client;
  /** Process id of the session on the server. */
  readonly pid: number;
  /** Closes the connection at once, even during a statement. */
  hangUp(): void;
}

/** @throws the driver's, the network's or Secrets Manager's error. */
export type ConnectReader = (database: OwnedDatabase) => Promise<Reader>;

export const connectReader: ConnectReader = async ({ writerHost: host, port, database, ownerSecret }) => {
  let latest = new Socket();
  const socket = () => {
    latest = new Socket();
    return latest;
  };
  const client = await dataConnection({ host, port, database, secretArn: ownerSecret, socket });
  return {
    client,
    pid: (client as pg.Client & { processID: number }).processID,
    hangUp() {
      latest.destroy();
    },
  };
};

/** @throws {BackupOvertaken} the backup is not running. */
export async function runningBackup(ledger: BackupLedger): Promise<BackupRecord> {
  const record = await ledger.read();
  if (record?.status !== 'running') throw new BackupOvertaken();
  return record;
}
