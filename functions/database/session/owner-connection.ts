import { Socket } from 'node:net';
import type pg from 'pg';
import { dataConnection } from '../provisioning/data-connection.ts';

/** A database for the owner's connections. */
export interface OwnedDatabase {
  readonly writerHost: string;
  readonly port: number;
  readonly database: string;
  /** Name or ARN of the owner's secret. */
  readonly ownerSecret: string;
}

/**
 * Runs `work` as the owner of the place's database, connected to the cluster itself, because the proxy accepts request
 * roles only. With `pipeline`, statements that are sent without waiting for the previous one share a round trip. When
 * `work` ends, statements that are still running are not awaited.
 * @throws the driver's errors.
 */
export async function asOwner<Result>(
  { writerHost: host, port, database, ownerSecret: secretArn }: OwnedDatabase,
  work: (connection: pg.Client) => Promise<Result>,
  { pipeline = false }: { readonly pipeline?: boolean } = {},
): Promise<Result> {
  let socket = new Socket();
  const connection = await dataConnection({
    host,
    port,
    database,
    secretArn,
    pipeline,
    socket: () => {
      socket = new Socket();
      return socket;
    },
  });
  try {
    return await work(connection);
  } finally {
    await hangUp(connection, socket);
  }
}

/** How long such statements may still run before the connection is broken off, in milliseconds. */
const GOODBYE_MS = 500;

/** PostgreSQL finishes a statement that `work` did not await. The driver would wait for its end. */
async function hangUp(connection: pg.Client, socket: Socket): Promise<void> {
  const timer = setTimeout(() => socket.destroy(), GOODBYE_MS);
  try {
    await connection.end();
  } finally {
    clearTimeout(timer);
  }
}
