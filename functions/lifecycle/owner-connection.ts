import type pg from 'pg';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import type { PlannedPlace } from './provisioning-tenant.ts';

/**
 * Runs DDL as the owner of the place's database, on the cluster itself: the proxy knows request roles only.
 * @throws the driver's errors.
 */
export async function asOwner<Result>(
  { writerHost: host, port, database, ownerSecret: secretArn }: PlannedPlace,
  work: (connection: pg.Client) => Promise<Result>,
): Promise<Result> {
  const connection = await dataConnection({ host, port, database, secretArn });
  try {
    return await work(connection);
  } finally {
    await connection.end();
  }
}
