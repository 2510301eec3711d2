/**
 * Two clusters, X and Y, each a PostgreSQL server of its own, tenants with schemas on X, their secrets behind the local
 * AWS endpoint, and a router that serves requests: what a relocation works with, without a workflow.
 */
import { randomUUID } from 'node:crypto';
import tls from 'node:tls';
import type pg from 'pg';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { placeTenant } from '../../functions/database/provisioning/place-tenant.ts';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { CredentialStore } from '../../functions/database/session/credentials.ts';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import { releaseClaim } from '../../functions/database/transfer/claim.ts';
import type { Hop, HopContext } from '../../functions/moves/hop.ts';
import { endReplication } from '../../functions/moves/relocate/replication.ts';
import { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../functions/placement/tenant-router.ts';
import type { Place } from '../../functions/places/place.ts';
import { connectAs, LOGINS, provisionMaster } from '../database-server.ts';
import { startPostgresServer } from '../postgres-server.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase } from '../test-database.ts';
import { startLocalSecrets } from './local-secrets.ts';

/** One of the two clusters. */
export interface Side {
  readonly cellId: string;
  readonly port: number;
  readonly database: string;
  readonly ownerSecret: string;
  /** A connection that ends with the world. */
  connect(as: 'owner' | 'superuser'): Promise<pg.Client>;
}

export interface WorldTenant {
  readonly tenantId: string;
  readonly access: TenantAccess;
  /** Where it is, as the registry knows. */
  place: Place;
}

export interface RelocationWorld {
  readonly x: Side;
  readonly y: Side;
  readonly registry: Pick<RegistryOverPostgres, 'query'>;
  addTenant(on?: Side): Promise<WorldTenant>;
  /** The next hop of a tenant, with the secret that its target's role has. */
  hop(tenant: WorldTenant, to: Side, model?: 'schema' | 'dedicated'): Promise<Hop>;
  /** As the workflow's step does: the registry follows, the replication ends, the claim is released. */
  settle(tenant: WorldTenant, hop: Hop): Promise<void>;
  /** Everything that a move could leave behind, as one line each; of both sides. */
  inventory(): Promise<string[]>;
  end(): Promise<void>;
}

/** @param settings of a server of Y's own, for tests that change its configuration; the shared one where absent. */
export async function createRelocationWorld(settings?: Record<string, string>): Promise<RelocationWorld> {
  const secrets = await startLocalSecrets();
  const clients: pg.Client[] = [];
  const closing: (() => Promise<unknown>)[] = [() => secrets.stop()];
  /** Answers its name, by which it is found. */
  const addSecret = async (login: { user: string; password: string }) => {
    const name = `test/${randomUUID()}`;
    await secrets.put(name, login);
    return name;
  };
  const ownerSecret = await addSecret(LOGINS.owner);

  const here = await TestDatabase.clone();
  closing.push(() => here.drop());
  const { server } = here;
  tls.setDefaultCACertificates([...tls.rootCertificates, server.certificate]);
  const there = await (settings ? ownServer(settings) : TestDatabase.clone('otherServer'));
  closing.push(() => there.drop());
  const side = (cellId: string, port: number, database: string): Side => ({
    cellId,
    port,
    database,
    ownerSecret,
    async connect(as) {
      const client = await connectAs(
        { port },
        as === 'owner' ? LOGINS.owner : server.logins.superuser,
        database,
      );
      clients.push(client);
      return client;
    },
  });
  const x = side('x', server.port, here.name);
  const y = side('y', there.server.port, there.name);
  const registryDatabase = await TestDatabase.cloneRegistry();
  closing.push(() => registryDatabase.drop());
  const registry = inTurn(await registryDatabase.registry());
  for (const { cellId, port, database } of [x, y]) {
    await registry.query(ADD_CELL, { cellId, port, database, secretArn: ownerSecret });
  }
  const pools = new DatabasePools(new CredentialStore(), { cap: 40, pipeline: true });
  closing.push(() => pools.end());
  const router = new TenantRouter(new TenantDirectory(registry, { freshForMs: 100 }), pools, {
    patienceMs: 10_000,
  });

  const placeAt = async (
    { cellId, port, database }: Side,
    tenantId: string,
    epoch: number,
    suffix: string,
    isolationModel: 'schema' | 'dedicated',
  ): Promise<Place> => {
    const name = `tenant_${tenantId.replaceAll('-', '')}_e${suffix}`;
    const host = '127.0.0.1';
    return {
      isolationModel,
      cellId: isolationModel === 'dedicated' ? null : cellId,
      region: 'us',
      host,
      port,
      writerHost: host,
      readerHost: null,
      clusterArn: null,
      database,
      schemaName: name,
      roleName: name,
      secretArn: await addSecret({ user: name, password: passwordOf(name) }),
      ownerSecret,
      stackName: null,
      poolSize: 4,
      epoch,
    };
  };
  let attempts = 0;
  return {
    x,
    y,
    registry,
    async addTenant(on = x) {
      const tenantId = randomUUID();
      const place = await placeAt(on, tenantId, 1, '1', 'schema');
      const owner = await on.connect('owner');
      const { schemaName, roleName } = place;
      const password = passwordOf(roleName);
      await createTenantSchema(owner, { tenantId, schemaName, roleName, password, connectionLimit: 20 });
      await placeTenant(owner, { tenantId, epoch: 1, isolationModel: 'schema', schemaName, roleName });
      await owner.end();
      await registry.query(ADD_TENANT, { tenantId });
      await registry.query(ADD_ROUTE, routeOf(tenantId, place));
      return { tenantId, place, access: new TenantAccess(tenantId, tenantId, router) };
    },
    async hop({ tenantId, place }, to, model = 'schema') {
      const suffix = `${place.epoch + 1}a${++attempts}`;
      return {
        moveId: randomUUID(),
        index: 0,
        kind: 'relocate',
        suffix,
        source: place,
        attempt: { tenantId, epoch: place.epoch, attemptId: randomUUID() },
        target: await placeAt(to, tenantId, place.epoch + 1, suffix, model),
      };
    },
    async settle(tenant, hop) {
      await registry.query(FOLLOW, routeOf(tenant.tenantId, hop.target));
      await endReplication(hop);
      const source = await (hop.source.port === x.port ? x : y).connect('owner');
      await releaseClaim(source, hop.attempt);
      await source.end();
      tenant.place = hop.target;
    },
    inventory: () => inventoryOf([x, y]),
    async end() {
      await Promise.all(clients.map((client) => client.end().catch(() => {})));
      for (const close of closing.reverse()) await close();
    },
  };
}

const passwordOf = (roleName: string) => `password of ${roleName}`;

/** What steps are given; facts are kept as the registry would keep them. */
export function stepContext(hop: Hop, kept: Record<string, unknown> = {}, seconds = 20): HopContext {
  return {
    hop,
    kept,
    deadline: performance.now() + seconds * 1_000,
    progress: async (update) => {
      if (process.env.SHOW_PHASES) console.log(JSON.stringify(update));
    },
    keep: async (facts) => void Object.assign(kept, facts),
    amendTarget: async (found) => void Object.assign(hop.target, found),
  };
}

/** A database on a new server, which goes with it. */
async function ownServer(settings: Record<string, string>) {
  const server = await startPostgresServer(settings);
  const name = 'strata';
  await provisionMaster(server, name);
  const master = await connectAs(server, LOGINS.master, name);
  await bootstrapDataDatabase(master, {
    ownerPassword: LOGINS.owner.password,
    shared: true,
    starter: { roleName: LOGINS.starter.user, password: LOGINS.starter.password },
  });
  await master.end();
  return { server, name, drop: () => server.stop() };
}

async function inventoryOf(sides: readonly Side[]): Promise<string[]> {
  const lines = sides.map(async (side) => {
    const client = await side.connect('superuser');
    const { rows } = await client.query<{ line: string }>(
      // Other tests move other tenants on the same server: what belongs to another database is theirs.
      `select 'slot ' || slot_name as line from pg_replication_slots where database = current_database()
       union all select 'subscription ' || subname from pg_subscription s
         join pg_database d on d.oid = s.subdbid where datname = current_database()
       union all select 'origin ' || roname from pg_replication_origin where not exists (
         select from pg_subscription s join pg_database d on d.oid = s.subdbid
         where d.datname <> current_database() and roname ~ ('^pg_' || s.oid || '(_|$)'))
       union all select 'publication ' || pubname from pg_publication
       union all select 'role ' || rolname from pg_roles
       union all select 'schema ' || nspname from pg_namespace where nspname !~ '^pg_'
       union all select format('placement %s %s %s %s', tenant_id, epoch, state, mover) from tenancy.placement
       union all select 'captured ' || table_name from tenancy.captured_changes`,
    );
    await client.end();
    // The servers are shared with other tests.
    return rows.filter(({ line }) => !line.startsWith('role ') || /tenant_|move_/.test(line));
  });
  const all = await Promise.all(lines);
  return all.flatMap((rows, n) => rows.map(({ line }) => `${sides[n]!.cellId}: ${line}`)).sort();
}

/** The lines of an inventory that are this tenant's. */
export function linesOf(inventory: readonly string[], { tenantId }: Pick<WorldTenant, 'tenantId'>): string[] {
  const id = tenantId.replaceAll('-', '');
  return inventory.filter(
    (line) => line.replaceAll('-', '').includes(id) || /captured|origin|pg_[0-9]/.test(line),
  );
}

/** The one connection behind it takes one statement at a time; requests ask at once. */
function inTurn(registry: RegistryOverPostgres): Pick<RegistryOverPostgres, 'query'> {
  let previous: Promise<unknown> = Promise.resolve();
  return {
    query: (sql, parameters) => {
      const answer = previous.then(() => registry.query<never>(sql, parameters));
      previous = answer.catch(() => {});
      return answer;
    },
  };
}

const ADD_CELL = `
  INSERT INTO cells (cell_id, region, data_residency, database_host, database_port, writer_host, database_name,
                     proxy_name, cluster_arn, master_secret_arn, owner_secret_arn, starter_role_name,
                     starter_secret_arn, max_business_tenants)
  VALUES (:cellId, 'us', 'us', '127.0.0.1', :port::int, '127.0.0.1', :database, 'none', :cellId, :secretArn, :secretArn,
          'strata_starter', :secretArn, 190)`;
const ADD_TENANT = `
  INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, admin_email,
                       data_residency, home_region)
  VALUES (:tenantId::uuid, :tenantId, :tenantId, 'schema', 'business', 'active', 'a@b.test', 'us', 'us')`;
const ADD_ROUTE = `
  INSERT INTO tenant_database_routing (tenant_id, database_type, database_host, database_port, database_name,
                                       schema_name, isolation_model, role_name, secret_arn, epoch, region, cell_id,
                                       connection_pool_size)
  VALUES (:tenantId::uuid, 'postgresql', :host, :port::int, :database, :schemaName, :isolationModel, :schemaName,
          :secretArn, :epoch::bigint, 'us', :cellId, 4)`;
const FOLLOW = `
  UPDATE tenant_database_routing
  SET database_host = :host, database_port = :port::int, database_name = :database, schema_name = :schemaName,
      isolation_model = :isolationModel, role_name = :schemaName, secret_arn = :secretArn, epoch = :epoch::bigint,
      cell_id = :cellId
  WHERE tenant_id = :tenantId::uuid AND epoch < :epoch::bigint`;

function routeOf(tenantId: string, place: Place) {
  const { host, port, database, schemaName, isolationModel, secretArn, epoch, cellId } = place;
  return { tenantId, host, port, database, schemaName, isolationModel, secretArn, epoch, cellId };
}
