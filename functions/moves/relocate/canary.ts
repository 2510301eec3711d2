import { dataConnection } from '../../database/provisioning/data-connection.ts';
import { placeCanary, removeCanary } from '../../database/transfer/arrival.ts';
import { type BothSides, claimedAtTarget } from '../../database/transfer/claimed-target.ts';
import { TenantUnreachable } from '../../places/errors.ts';
import type { Hop } from '../hop.ts';

/**
 * Walks the way of a request to the new place before any request does: through its proxy, with its secret, into the
 * schema, to read and to write; nothing is kept. It enters as a tenant of its own, so that nobody can enter as the real
 * one yet, and so that a canary that was frozen can do no harm when it wakes up.
 * @throws {TenantUnreachable} transient while the proxy takes up the secret.
 */
export async function flyCanary(sides: BothSides, { attempt, target }: Hop): Promise<void> {
  const { attemptId } = attempt;
  await claimedAtTarget(sides, attempt, () => placeCanary(sides.target, attemptId, target));
  try {
    await enterAs(attemptId, target);
  } catch (error) {
    throw new TenantUnreachable({ cause: error });
  } finally {
    await removeCanary(sides.target, attemptId);
  }
}

async function enterAs(canary: string, { host, port, database, secretArn, epoch }: Hop['target']) {
  const connection = await dataConnection({
    ...{ host: host!, port: port!, database, secretArn: secretArn! },
  });
  try {
    await connection.query('BEGIN ISOLATION LEVEL READ COMMITTED');
    await connection.query('SELECT tenancy.enter($1::uuid, $2::bigint, $3)', [canary, epoch, 'write']);
    await connection.query('SELECT employee_id FROM employees LIMIT 1');
    await connection.query(
      `INSERT INTO employees (email, first_name, last_name) VALUES ($1, 'Canary', 'Bird')`,
      [`${canary}@canary.invalid`],
    );
    await connection.query('ROLLBACK');
  } finally {
    await connection.end();
  }
}
