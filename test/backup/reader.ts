import type pg from 'pg';
import type { Reader } from '../../functions/backups/backup-context.ts';

/** A test's connection as the engine takes it. */
export function readerOf(client: pg.Client): Reader {
  const { processID, connection } = client as unknown as {
    processID: number;
    connection: { stream: { destroy(): void } };
  };
  return { client, pid: processID, hangUp: () => connection.stream.destroy() };
}
