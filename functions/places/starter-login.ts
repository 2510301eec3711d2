/**
 * The login of a cell's Starter tenants in the rows that route requests. It is the role's secret, and its stand-in's while the
 * role's password is replaced (functions/credentials/switch-secret.ts):
 *
 *   role ──switch──▶ stand-in ──the proxy accepts the new password──▶ role
 *
 * In between the role's own secret may be refused, so a row that is written then must have the stand-in's too. Invariant: a
 * switch changes all rows of the cell, because both a switch and the transactions that write a row lock the cell.
 */
import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { UnknownCell } from './errors.ts';
import { type Place, routeTo } from './place.ts';

/**
 * ARN of the secret that requests of the cell's Starter tenants use. It stays so until the transaction ends.
 * @throws {UnknownCell}
 */
export async function starterSecretNow(transaction: RegistryExecutor, cellId: string): Promise<string> {
  const db = registrySql(transaction);
  // In a separate statement: a statement that waits for a lock keeps its older snapshot.
  await sql`select from cells where cell_id = ${columnValue('cells.cell_id', cellId)} for share`.execute(db);
  const { rows } = await sql<{ secret: string }>`
    select coalesce((select r.secret_arn from credential_rotations as n
                       join tenant_database_routing as r on r.secret_arn = n.stand_in_secret_arn
                      where n.kind = 'starter' and n.status = 'running' and n.cell_id = c.cell_id limit 1),
                    c.starter_secret_arn) as secret
      from cells as c where c.cell_id = ${columnValue('cells.cell_id', cellId)}`.execute(db);
  if (!rows[0]) throw new UnknownCell();
  return rows[0].secret;
}

/** {@link routeTo}, with the login that requests of the place use now. */
export async function routeNow(transaction: RegistryExecutor, place: Place) {
  const route = routeTo(place);
  if (place.isolationModel !== 'shared' || place.cellId === null) return route;
  return { ...route, secret_arn: await starterSecretNow(transaction, place.cellId) };
}
