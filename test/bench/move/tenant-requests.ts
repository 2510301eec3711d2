import { tenantSql } from '../../../functions/database/session/tenant-sql.ts';
import type { TenantAccess } from '../../../functions/placement/tenant-router.ts';
import type { BenchDatabase, BenchTenant } from '../bench-server.ts';
import { inTurn } from '../in-turn.ts';
import type { Container } from './moving-cells.ts';

/** Writes of one tenant, each of which changes an employee by key. */
export function changesOf(access: TenantAccess, employeeIds: readonly string[]): () => Promise<unknown> {
  const employeeId = inTurn(employeeIds);
  return () => access.batch('write', [change(employeeId())]);
}

/** Requests of one tenant after the other: employees by key, read and changed by turns, half and half. */
export async function neighbourRequests(
  container: Container,
  cell: BenchDatabase,
  tenants: readonly BenchTenant[],
): Promise<() => Promise<unknown>> {
  const known: { access: TenantAccess; employeeId: () => string }[] = [];
  for (const tenant of tenants) {
    known.push({
      access: container.access(cell, tenant),
      employeeId: inTurn(await cell.employeeIds(tenant)),
    });
  }
  const next = inTurn(known);
  let requests = 0;
  // Who read in this pass, writes in the next one.
  const writes = () => (requests + Math.floor(requests++ / known.length)) % 2 === 1;
  return () => {
    const { access, employeeId } = next();
    return writes()
      ? access.batch('write', [change(employeeId())])
      : access.batch('read', [
          tenantSql.selectFrom('employees').selectAll().where('employee_id', '=', employeeId()),
        ]);
  };
}

const change = (employeeId: string) =>
  tenantSql.updateTable('employees').set({ job_title: 'Engineer' }).where('employee_id', '=', employeeId);
