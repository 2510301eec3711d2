import type pg from 'pg';
import type { Reader } from '../../functions/backups/backup-context.ts';

/** Wraps a test's connection as a `Reader`. */
export function readerOf(client: pg.Client): Reader {
  const { processID, connection } = client as unknown as {
    processID: number;
    connection: { stream: { destroy(): void } };
  };
  return { client, pid: processID, hangUp: () => connection.stream.destroy() };
}
