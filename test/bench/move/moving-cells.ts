/**
 * What moves work with, without a platform: one server for each cell, the secrets behind the local AWS endpoint, and the
 * router of production over a registry in memory. The name of a role is the name of its secret.
 */
import { randomUUID } from 'node:crypto';
import { DatabasePools } from '../../../functions/database/session/pools.ts';
import { exclusively, releaseClaim } from '../../../functions/database/transfer/claim.ts';
import type { Hop } from '../../../functions/moves/hop.ts';
import { endReplication } from '../../../functions/moves/relocate/replication.ts';
import { TenantDirectory } from '../../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../../functions/placement/tenant-router.ts';
import type { Place } from '../../../functions/places/place.ts';
import { asOwnerOf } from '../../../functions/places/place-database.ts';
import { type LocalSecrets, startLocalSecrets } from '../../move/local-secrets.ts';
import { BenchRegistry } from '../bench-registry.ts';
import {
  type BenchDatabase,
  BenchServer,
  type BenchTenant,
  benchCredentials,
  PASSWORD,
} from '../bench-server.ts';

const OWNER = 'strata_owner';

export interface Container {
  /** For requests of a tenant that has not moved yet; from then on they follow it. */
  access(database: BenchDatabase, tenant: BenchTenant): TenantAccess;
}

export class MovingCells {
  readonly databases: readonly BenchDatabase[];
  readonly #servers: readonly BenchServer[];
  readonly #secrets: LocalSecrets;
  readonly #registry = new BenchRegistry();
  readonly #pools: DatabasePools[] = [];

  private constructor(databases: BenchDatabase[], servers: BenchServer[], secrets: LocalSecrets) {
    this.databases = databases;
    this.#servers = servers;
    this.#secrets = secrets;
  }

  static async start(count: number, settings: Readonly<Record<string, string>>): Promise<MovingCells> {
    const secrets = await startLocalSecrets();
    const servers: BenchServer[] = [];
    try {
      await secrets.put(OWNER, { user: OWNER, password: PASSWORD });
      const databases: BenchDatabase[] = [];
      for (let n = 0; n < count; n++) {
        const server = await BenchServer.start(settings);
        servers.push(server);
        databases.push(await server.createDatabase('strata'));
      }
      return new MovingCells(databases, servers, secrets);
    } catch (error) {
      await Promise.all(servers.map((server) => server.stop()));
      await secrets.stop();
      throw error;
    }
  }

  /** What one container of a function has: connections and a memory of its own. */
  container(): Container {
    const pools = new DatabasePools(benchCredentials, { cap: 40, pipeline: true });
    this.#pools.push(pools);
    const router = new TenantRouter(new TenantDirectory(this.#registry), pools);
    return {
      access: (database, tenant) => {
        this.#registry.routeTo(tenant.tenantId, database.route(tenant));
        return new TenantAccess(tenant.tenantId, tenant.tenantId, router);
      },
    };
  }

  /** Where a tenant is that has not moved yet. */
  placeOf(database: BenchDatabase, tenant: BenchTenant): Place {
    return placeIn(database, { ...tenant, epoch: 1 });
  }

  /** The hop that takes a tenant into a schema of its own. */
  async hopTo(database: BenchDatabase, kind: Hop['kind'], tenantId: string, source: Place): Promise<Hop> {
    const epoch = source.epoch + 1;
    const suffix = `${epoch}a1`;
    const name = `tenant_${tenantId.replaceAll('-', '')}_e${suffix}`;
    await this.#secrets.put(name, { user: name, password: PASSWORD });
    const target = placeIn(database, { schemaName: name, roleName: name, epoch });
    // Earlier than in production, where it is known from the indexes on: until the role is there, connecting fails.
    this.#registry.announce(tenantId, target);
    return {
      moveId: randomUUID(),
      index: 0,
      kind,
      suffix,
      source,
      attempt: { tenantId, epoch: source.epoch, attemptId: randomUUID() },
      target,
    };
  }

  /** What follows a commit, as `settleHop` does it. */
  async settle(hop: Hop): Promise<void> {
    const { attempt, kind, source, target } = hop;
    const { host, port, database, roleName: secretArn, poolSize, epoch, isolationModel } = target;
    const address = { host: host!, port: port!, database, secretArn, poolSize };
    await asOwnerOf(source, async (owner) => {
      await exclusively(owner, attempt, async () => {});
      if (kind === 'relocate') await endReplication(hop);
      this.#registry.routeTo(attempt.tenantId, { epoch, isolationModel, address });
      await releaseClaim(owner, attempt);
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#pools.map((pools) => pools.end()));
    await Promise.all(this.#servers.map((server) => server.stop()));
    await this.#secrets.stop();
  }
}

function placeIn(
  { server, name }: BenchDatabase,
  { schemaName, roleName, epoch }: Pick<Place, 'schemaName' | 'roleName' | 'epoch'>,
): Place {
  return {
    isolationModel: schemaName === 'shared' ? 'shared' : 'schema',
    cellId: `cell-${server.port}`,
    region: 'us',
    host: '127.0.0.1',
    port: server.port,
    writerHost: '127.0.0.1',
    readerHost: null,
    clusterArn: null,
    database: name,
    schemaName,
    roleName,
    secretArn: roleName,
    ownerSecret: OWNER,
    stackName: null,
    poolSize: 10,
    epoch,
  };
}
