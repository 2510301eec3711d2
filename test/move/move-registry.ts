import { randomUUID } from 'node:crypto';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { tierTerms } from '../../functions/contracts/tier-terms.ts';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import { setHopState } from '../../functions/moves/move-records.ts';
import type { Probes } from '../../functions/moves/recover-moves.ts';
import { followHop } from '../../functions/moves/settle-hop.ts';
import { type CellRegistration, registerCell } from '../../functions/registry/cells.ts';
import { getMove, type MoveView } from '../../functions/registry/moves.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase } from '../test-database.ts';

export const STATE_MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-move';
/** Of an execution of that name. */
export const arn = (name: string) => `${STATE_MACHINE.replace('stateMachine', 'execution')}:${name}`;
/** What is told of executions that nobody runs here. */
export const dead: Probes = { statusOf: async () => 'ended' };
export const alive: Probes = { statusOf: async () => 'running' };
export const unknown: Probes = { statusOf: async () => 'none' };
/** A deadline that no test meets. */
export const far = () => performance.now() + 60_000;
/** What a step knows of the target by the time that it is committed. */
const arrived = {
  host: 'proxy.test',
  port: 5432,
  writerHost: 'writer.test',
  clusterArn: 'c',
  secretArn: 'secret',
};
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

  /** Forgets all tenants and cells, and what belongs to them. */
  async clear(): Promise<void> {
    const superuser = await this.#database.connect('superuser');
    await superuser.query('TRUNCATE tenants, cells CASCADE');
    await superuser.end();
  }

  /** Another connection, for what happens at once. */
  another(): Promise<RegistryOverPostgres> {
    return this.#database.registry();
  }

  /** The same registry by another connection. */
  async beside(): Promise<MoveRegistry> {
    return new MoveRegistry(this.#database, await this.another());
  }

  async addCell(
    cellId: string,
    settings: Partial<CellRegistration> & { status?: string } = {},
  ): Promise<void> {
    const { status = 'active', ...cell } = settings;
    await registerCell(this.registry, {
      cellId,
      region: 'us',
      dataResidency: 'us',
      databaseHost: `${cellId}.proxy.test`,
      databasePort: 5432,
      writerHost: `${cellId}.writer.test`,
      databaseName: 'strata',
      proxyName: cellId,
      clusterArn: `cluster ${cellId}`,
      masterSecretArn: 'none',
      ownerSecretArn: `owner of ${cellId}`,
      starterRoleName: 'strata_starter',
      starterSecretArn: `starter of ${cellId}`,
      maxBusinessTenants: 190,
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
        tenantId,
        slug: `t-${tenantId.slice(0, 8)}`,
        isolationModel,
        schemaName,
        tier,
        status,
        maxUsers,
        maxStorageGb,
        residency,
        compliance: JSON.stringify(compliance),
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
        tenantId,
        schemaName,
        isolationModel,
        epoch,
        residency,
        cellId: dedicated ? null : cellId,
        roleName: isolationModel === 'shared' ? 'strata_starter' : ownName,
        secretArn: isolationModel === 'shared' ? `starter of ${cellId}` : `secret of ${ownName}`,
        stackName: dedicated ? `strata-tenant-${tenantId}` : null,
      },
    );
    return tenantId;
  }

  /** A tenant with a move that an execution has begun. */
  async begin(settings: TenantSettings = {}, target: object = { targetTier: 'business' }) {
    const tenantId = await this.addTenant(settings);
    const executionArn = arn(`of-${tenantId}`);
    const { moveId } = await beginMove(this.registry, { tenantId, ...target }, executionArn, alive);
    return { tenantId, moveId, executionArn };
  }

  /** Settles a hop as `settleHop` does, without a database to ask. */
  async settle(moveId: string, hopIndex: number, facts: Record<string, unknown> = {}): Promise<void> {
    const step = await openPhase(this.registry, { moveId, hopIndex, phase: 'settle' }, far());
    await step.amendTarget(arrived);
    await step.keep({ committedAt: '2026-01-01T00:00:00.000Z', ...facts });
    await followHop(this.registry, step.hop);
    await setHopState(this.registry, step.hop, ['committed'], 'settled');
  }

  view(tenantId: string, moveId: string): Promise<MoveView> {
    return getMove(this.registry, tenantId, moveId);
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
