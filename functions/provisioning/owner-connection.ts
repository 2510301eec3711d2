import type pg from 'pg';
import { dataConnection } from '../database/provisioning/data-connection.ts';

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
 * With `pipeline`, statements that are sent without waiting for the one before share a round trip.
 * @throws the driver's errors.
 */
export async function asOwner<Result>(
  { writerHost: host, port, database, ownerSecret: secretArn }: OwnedDatabase,
  work: (connection: pg.Client) => Promise<Result>,
  { pipeline = false }: { readonly pipeline?: boolean } = {},
): Promise<Result> {
  const connection = await dataConnection({ host, port, database, secretArn, pipeline });
  try {
    return await work(connection);
  } finally {
    await connection.end();
  }
}
