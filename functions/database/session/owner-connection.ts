import { Socket } from 'node:net';
import type pg from 'pg';
import { dataConnection } from '../provisioning/data-connection.ts';

/** A database as its owner reaches it. */
export interface OwnedDatabase {
  readonly writerHost: string;
  readonly port: number;
  readonly database: string;
  /** Name or ARN of the owner's secret. */
  readonly ownerSecret: string;
}

/**
 * Runs `work` as the owner of the place's database, on the cluster itself: the proxy knows request roles only.
 * With `pipeline`, statements that are sent without waiting for the one before share a round trip. A statement that is
 * still under way when `work` ends is not waited for.
 * @throws the driver's errors.
 */
export async function asOwner<Result>(
  { writerHost: host, port, database, ownerSecret: secretArn }: OwnedDatabase,
  work: (connection: pg.Client) => Promise<Result>,
  { pipeline = false }: { readonly pipeline?: boolean } = {},
): Promise<Result> {
  const socket = new Socket();
  const connection = await dataConnection({ host, port, database, secretArn, pipeline, socket });
  try {
    return await work(connection);
  } finally {
    await hangUp(connection, socket);
  }
}

/** How long statements that nobody waits for may still take before the connection is broken off. */
const GOODBYE_MS = 500;

/** A statement that `work` has left under way is PostgreSQL's to finish. The driver would wait for its end. */
async function hangUp(connection: pg.Client, socket: Socket): Promise<void> {
  const timer = setTimeout(() => socket.destroy(), GOODBYE_MS);
  try {
    await connection.end();
  } finally {
    clearTimeout(timer);
  }
}
