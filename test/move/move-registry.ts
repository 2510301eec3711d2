import { randomUUID } from 'node:crypto';
import { type CellRegistration, registerCell } from '../../functions/database/registry/register-cell.ts';
import type { Tier } from '../../functions/database/registry/tenant-record.ts';
import { tierTerms } from '../../functions/placement/tier-terms.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase } from '../test-database.ts';

export const STATE_MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-move';
export const operator = { id: 'operator@strata.test', type: 'operator' } as const;

export interface TenantSettings {
  readonly tier?: Tier;
  readonly cellId?: string;
  readonly status?: string;
  readonly compliance?: readonly string[];
  readonly residency?: string;
  readonly epoch?: number;
}

/** A registry with cells and tenants that exist nowhere else. */
export class MoveRegistry {
  readonly registry: RegistryOverPostgres;
  readonly #database: TestDatabase;

  private constructor(database: TestDatabase, registry: RegistryOverPostgres) {
    this.#database = database;
    this.registry = registry;
  }

  static async create(): Promise<MoveRegistry> {
    const database = await TestDatabase.cloneRegistry();
    return new MoveRegistry(database, await database.registry());
  }

  /** Another connection, for what happens at once. */
  another(): Promise<RegistryOverPostgres> {
    return this.#database.registry();
  }

  async addCell(
    cellId: string,
    settings: Partial<CellRegistration> & { status?: string } = {},
  ): Promise<void> {
    const { status = 'active', ...cell } = settings;
    await registerCell(this.registry, {
      ...{
        cellId,
        region: 'us',
        dataResidency: 'us',
        databaseHost: `${cellId}.proxy.test`,
        databasePort: 5432,
      },
      ...{ writerHost: `${cellId}.writer.test`, databaseName: 'strata', proxyName: cellId },
      ...{ clusterArn: `cluster ${cellId}`, masterSecretArn: 'none', ownerSecretArn: `owner of ${cellId}` },
      ...{
        starterRoleName: 'strata_starter',
        starterSecretArn: `starter of ${cellId}`,
        maxBusinessTenants: 190,
      },
      ...cell,
    });
    await this.registry.query('UPDATE cells SET status = :status WHERE cell_id = :cellId', {
      cellId,
      status,
    });
  }

  /** @returns its id, which is its slug too. */
  async addTenant({
    tier = 'starter',
    cellId = 'a',
    status = 'active',
    compliance = [],
    residency = 'us',
    epoch = 1,
  }: TenantSettings = {}): Promise<string> {
    const tenantId = randomUUID();
    const { isolationModel, maxUsers, maxStorageGb } = tierTerms[tier];
    const ownName = `tenant_${tenantId.replaceAll('-', '')}_e${epoch}`;
    const schemaName = isolationModel === 'shared' ? 'shared' : ownName;
    await this.registry.query(
      `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier,
                            status, max_users, max_storage_gb, data_residency, home_region, compliance_requirements)
       VALUES (:tenantId::uuid, :slug, :slug, :isolationModel, :schemaName, :tier, :status, :maxUsers::int,
               :maxStorageGb::int, :residency, :residency, :compliance::jsonb)`,
      {
        ...{
          tenantId,
          slug: `t-${tenantId.slice(0, 8)}`,
          isolationModel,
          schemaName,
          tier,
          status,
          maxUsers,
        },
        ...{ maxStorageGb, residency, compliance: JSON.stringify(compliance) },
      },
    );
    const dedicated = isolationModel === 'dedicated';
    await this.registry.query(
      `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name,
                                            cell_id, cluster_arn, isolation_model, role_name, secret_arn, epoch,
                                            region, writer_host, stack_name)
       VALUES (:tenantId::uuid, 'old.proxy.test', 5432, 'strata', :schemaName, :cellId, 'cluster', :isolationModel,
               :roleName, :secretArn, :epoch::bigint, :residency, 'old.writer.test', :stackName)`,
      {
        ...{ tenantId, schemaName, isolationModel, epoch, residency, cellId: dedicated ? null : cellId },
        roleName: isolationModel === 'shared' ? 'strata_starter' : ownName,
        secretArn: isolationModel === 'shared' ? `starter of ${cellId}` : `secret of ${ownName}`,
        stackName: dedicated ? `strata-tenant-${tenantId}` : null,
      },
    );
    return tenantId;
  }

  /** The audit log's actions for a tenant, in their order. */
  async audited(tenantId: string): Promise<string[]> {
    const rows = await this.registry.query<{ action: string }>(
      'SELECT action FROM control_audit_log WHERE tenant_id = :tenantId::uuid ORDER BY created_at, log_id',
      { tenantId },
    );
    return rows.map(({ action }) => action);
  }

  drop(): Promise<void> {
    return this.#database.drop();
  }
}
