/** What has credentials: a tenant's login role, the role of a cell's Starter tenants, an owner, the registry's roles. */
import { OWNER_ROLE } from '../database/ddl/ddl-connection.ts';
import { ownerSecretOf } from '../placement/tenant-names.ts';
import type { CredentialKind } from '../registry/credential-rotations.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { referenceColumn, selectTenants, toTenantRecord } from '../registry/tenant-record.ts';
import {
  CredentialRotationRunning,
  CredentialsInUse,
  InvalidCredentialInput,
  NotRotatable,
} from './errors.ts';

/** What an operator asks for. */
export type CredentialTarget =
  | { readonly tenant: string; readonly role: 'login' | 'owner' }
  | { readonly cellId: string; readonly role: 'starter' | 'owner' }
  | { readonly registry: true };

export interface CredentialSubject {
  readonly kind: CredentialKind;
  /** Unique among all subjects of a registry. */
  readonly name: string;
  readonly tenantId: string | null;
  readonly cellId: string | null;
  readonly roleName: string;
  /** ARN or name of the role's secret. */
  readonly secret: string;
}

/** `tenancy` admits stand-ins from this version on. */
const TENANCY_WITH_STAND_INS = 3;

/**
 * Rotations of one proxy that may run at once: each takes one of its 200 secrets, and a cell has up to 190 Business tenants
 * and the targets of moves.
 */
const ROTATIONS_PER_PROXY = 4;

/** The name of a target's subject; a tenant must be given by its id. */
export function subjectNameOf(target: CredentialTarget): string {
  if ('registry' in target) return 'registry';
  if ('cellId' in target) return `cell ${target.cellId} ${target.role}`;
  return target.role === 'owner' ? `tenant ${target.tenant} owner` : `tenant ${target.tenant}`;
}

export const REGISTRY_SUBJECT: CredentialSubject = {
  kind: 'registry',
  name: 'registry',
  tenantId: null,
  cellId: null,
  roleName: 'strata_registry_*',
  secret: 'strata/registry/*',
};

/**
 * Finds what is to be rotated, and checks that it can be. Locks the tenant or the cell until the transaction ends, which
 * serializes rotations of a tenant with its moves and restores.
 * @throws {InvalidCredentialInput} there is no such tenant or cell here.
 * @throws {NotRotatable | CredentialsInUse | CredentialRotationRunning}
 */
export async function lockSubject(
  transaction: RegistryExecutor,
  target: CredentialTarget,
): Promise<CredentialSubject> {
  if ('registry' in target) return REGISTRY_SUBJECT;
  return 'tenant' in target ? lockTenant(transaction, target) : lockCell(transaction, target);
}

async function lockTenant(
  transaction: RegistryExecutor,
  { tenant: reference, role }: Extract<CredentialTarget, { tenant: string }>,
): Promise<CredentialSubject> {
  const row = await selectTenants(registrySql(transaction))
    .select(['r.isolation_model as placed_as', 'r.role_name', 'r.secret_arn', 'r.tenancy_version'])
    .select('r.owner_secret_arn')
    .select((eb) =>
      eb
        .selectFrom('cells as c')
        .select('c.tenancy_version')
        .whereRef('c.cell_id', '=', 'r.cell_id')
        .as('cell_tenancy_version'),
    )
    .where(`t.${referenceColumn(reference)}`, '=', reference)
    .forUpdate('t')
    .executeTakeFirst();
  if (!row) throw new InvalidCredentialInput([{ path: 'tenantId', message: 'names no tenant' }]);
  const { tenantId, status } = toTenantRecord(row);
  if (status !== 'active' && status !== 'suspended') throw new NotRotatable(`The tenant is ${status}.`);
  const { placed_as: model, role_name: roleName, secret_arn: secret, cell_id: cellId } = row;
  if (!model || !roleName || !secret) throw new NotRotatable('The tenant has no place yet.');
  if (model === 'shared') {
    throw new NotRotatable('The tenant uses the credentials of its cell: rotate those of the cell.');
  }
  if (role === 'owner' && model !== 'dedicated') {
    throw new NotRotatable('The tenant has no database of its own: rotate the owner of its cell.');
  }
  const moving = await registrySql(transaction)
    .selectFrom('tenant_moves')
    .select('move_id')
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'running')
    .limit(1)
    .executeTakeFirst();
  if (moving) throw new CredentialsInUse('The tenant is being moved or restored.');
  if (role === 'owner') {
    const owner = { tenantId, cellId: null, roleName: OWNER_ROLE };
    const name = subjectNameOf({ tenant: tenantId, role });
    return { kind: 'owner', name, ...owner, secret: ownerSecretOf(row.owner_secret_arn, tenantId) };
  }
  requireStandIns(row.cell_tenancy_version ?? row.tenancy_version);
  const name = subjectNameOf({ tenant: tenantId, role });
  // While the rotation of its role runs, the routing row names the stand-in's secret.
  await requireNoneOf(transaction, name);
  if (cellId !== null) await requireRoom(transaction, cellId);
  return { kind: 'tenant', name, tenantId, cellId, roleName, secret };
}

async function lockCell(
  transaction: RegistryExecutor,
  { cellId, role }: Extract<CredentialTarget, { cellId: string }>,
): Promise<CredentialSubject> {
  const cell = await registrySql(transaction)
    .selectFrom('cells')
    .select(['owner_secret_arn', 'starter_role_name', 'starter_secret_arn', 'tenancy_version'])
    .where('cell_id', '=', cellId)
    .forUpdate()
    .executeTakeFirst();
  if (!cell) throw new InvalidCredentialInput([{ path: 'cellId', message: 'names no cell' }]);
  const name = subjectNameOf({ cellId, role });
  await requireNoneOf(transaction, name);
  if (role === 'owner') {
    if (await isRestoring(transaction, cellId)) {
      throw new CredentialsInUse('A tenant of the cell is being restored.');
    }
    const owner = { tenantId: null, cellId, roleName: OWNER_ROLE, secret: cell.owner_secret_arn };
    return { kind: 'owner', name, ...owner };
  }
  requireStandIns(cell.tenancy_version);
  await requireRoom(transaction, cellId);
  const { starter_role_name: roleName, starter_secret_arn: secret } = cell;
  return { kind: 'starter', name, tenantId: null, cellId, roleName, secret };
}

/** A restore to a point in time gives the owner of a copied cluster the password that the original's has. */
async function isRestoring(transaction: RegistryExecutor, cellId: string): Promise<boolean> {
  const restoring = await registrySql(transaction)
    .selectFrom('tenant_moves as m')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 'm.tenant_id')
    .select('m.move_id')
    .where('m.status', '=', 'running')
    .where('m.restore', 'is not', null)
    .where('r.cell_id', '=', cellId)
    .limit(1)
    .executeTakeFirst();
  return restoring !== undefined;
}

function requireStandIns(tenancyVersion: number | null): void {
  if ((tenancyVersion ?? 0) < TENANCY_WITH_STAND_INS) {
    throw new NotRotatable('The database is older than this release: wait for the rollout, or start one.');
  }
}

async function requireNoneOf(transaction: RegistryExecutor, subject: string): Promise<void> {
  const running = await registrySql(transaction)
    .selectFrom('credential_rotations')
    .select('rotation_id')
    .where('subject', '=', subject)
    .where('status', '=', 'running')
    .executeTakeFirst();
  if (running) throw new CredentialRotationRunning();
}

async function requireRoom(transaction: RegistryExecutor, cellId: string): Promise<void> {
  const { running } = await registrySql(transaction)
    .selectFrom('credential_rotations')
    .select((eb) => eb.fn.countAll<number>().as('running'))
    .where('cell_id', '=', cellId)
    .where('kind', 'in', ['tenant', 'starter'])
    .where('status', '=', 'running')
    .executeTakeFirstOrThrow();
  if (running >= ROTATIONS_PER_PROXY) {
    throw new CredentialRotationRunning(
      'The proxy of the cell has as many rotations as it takes: try again later.',
    );
  }
}
