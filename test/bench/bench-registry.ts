import type { DatabaseAddress } from '../../functions/database/session/pools.ts';
import type { RegistryExecutor, RegistryParameters } from '../../functions/registry/data-api.ts';

/** Where a tenant lives. */
export interface Route {
  readonly epoch: number;
  readonly isolationModel: 'shared' | 'schema' | 'dedicated';
  readonly address: DatabaseAddress;
}

export type AnnouncedPlace = { readonly region: string } & {
  readonly [Key in keyof DatabaseAddress]: DatabaseAddress[Key] | null;
};

/** A registry that knows its tenants by heart: what asking costs is not what is measured, and it is asked rarely. */
export class BenchRegistry implements RegistryExecutor {
  readonly #rows = new Map<string, object>();

  /** From now on the tenant is told to live there. */
  routeTo(tenantId: string, { epoch, isolationModel, address }: Route): void {
    this.#rows.set(tenantId, {
      tenant_id: tenantId,
      tenant_slug: tenantId,
      status: 'active',
      epoch,
      isolation_model: isolationModel,
      region: 'us-east-1',
      database_host: address.host,
      database_port: address.port,
      database_name: address.database,
      secret_arn: address.secretArn,
      connection_pool_size: address.poolSize,
    });
  }

  /** A move has copied the tenant's data and will take it there. */
  announce(tenantId: string, { region, host, port, database, secretArn, poolSize }: AnnouncedPlace): void {
    const next = JSON.stringify({ region, host, port, database, secretArn, poolSize });
    this.#rows.set(tenantId, { ...this.#rows.get(tenantId), next_place: next });
  }

  async query<Row extends object>(_sql: string, { reference }: RegistryParameters = {}): Promise<Row[]> {
    const row = this.#rows.get(String(reference));
    return (row ? [row] : []) as Row[];
  }
}
