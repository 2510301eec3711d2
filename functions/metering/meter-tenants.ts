import type pg from 'pg';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { isConnectionLost } from '../database/session/sql-state.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { measureTenant } from './measure-tenant.ts';
import {
  type DataDatabase,
  LAST_TENANT,
  listMeteredTenants,
  type MeteredTenant,
  type MeteringCursor,
  type MeteringRun,
} from './metered-tenants.ts';
import { recordSample } from './record-sample.ts';

const PAGE = 100;

/** Only tenants whose data is in the region are measured: no other region's clusters can be reached from here. */
export interface MeteringOptions extends MeteringRun {
  /** Where an earlier call stopped. */
  readonly after?: MeteringCursor | undefined;
  /** On `performance.now()`'s clock. One tenant takes two minutes at most. */
  readonly deadline: number;
  /** Told of each tenant and database that had to be left out. */
  readonly onSkipped: (skipped: { database: string; tenantId?: string; error: unknown }) => void;
  readonly connect?: ConnectAsOwner;
}

export interface MeteringOutcome {
  readonly done: boolean;
  /** Goes into the next call as `after`; absent when there is nothing left. */
  readonly cursor?: MeteringCursor;
  /** Tenants that got their sample. */
  readonly sampled: number;
  /** Tenants that got none, and databases none of whose tenants did. */
  readonly skipped: number;
}

/**
 * Takes one sample of each active tenant's usage, database by database on one connection each. A tenant that cannot be
 * measured is left out, and of a database that cannot be reached all tenants are: tomorrow is another day.
 * Safe to repeat, and to run twice at once: a tenant has one sample a day.
 * @throws {RegistryError} when the registry does not tell the tenants.
 */
export async function meterTenants(
  registry: RegistryExecutor,
  { region, day, since, after, deadline, onSkipped, connect = connectAsOwner }: MeteringOptions,
): Promise<MeteringOutcome> {
  const sessions = new OwnerSessions(connect);
  let cursor = after;
  let sampled = 0;
  let skipped = 0;
  try {
    for (;;) {
      const page = await listMeteredTenants(registry, { region, day, since }, { after: cursor, limit: PAGE });
      if (page.length === 0) return { done: true, sampled, skipped };
      for (const tenant of page) {
        // The rest of a database that could not be reached.
        if (cursor && isBehind(tenant, cursor)) continue;
        if (performance.now() > deadline) return { done: false, ...(cursor && { cursor }), sampled, skipped };
        const outcome = await meter(tenant);
        if (outcome === 'sampled') sampled += 1;
        else skipped += 1;
        cursor = {
          databaseKey: tenant.database.key,
          tenantId: outcome === 'unreachable' ? LAST_TENANT : tenant.tenantId,
        };
      }
    }
  } finally {
    await sessions.end();
  }

  async function meter({
    tenantId,
    database,
  }: MeteredTenant): Promise<'sampled' | 'skipped' | 'unreachable'> {
    let owner: pg.Client;
    try {
      owner = await sessions.to(database);
    } catch (error) {
      onSkipped({ database: database.key, error });
      return 'unreachable';
    }
    try {
      const measurement = await measureTenant(owner, tenantId);
      return (await recordSample(registry, { tenantId, day, measurement })) ? 'sampled' : 'skipped';
    } catch (error) {
      await sessions.afterError(error);
      onSkipped({ database: database.key, tenantId, error });
      return 'skipped';
    }
  }
}

/** Only ever true within one database. */
function isBehind({ tenantId, database }: MeteredTenant, cursor: MeteringCursor): boolean {
  return database.key === cursor.databaseKey && tenantId <= cursor.tenantId;
}

/** Opens a connection as the owner of the database. The caller ends it. @throws the driver's or the network's error. */
export type ConnectAsOwner = (database: DataDatabase) => Promise<pg.Client>;

export const connectAsOwner: ConnectAsOwner = ({ host, port, database, ownerSecret: secretArn }) =>
  dataConnection({ host, port, database, secretArn });

/** At most one connection, to the database that was asked for last: tenants come database by database. */
export class OwnerSessions {
  readonly #connect: ConnectAsOwner;
  #open: { readonly key: string; readonly client: pg.Client } | undefined;

  constructor(connect: ConnectAsOwner) {
    this.#connect = connect;
  }

  /** @throws what connecting throws. */
  async to(database: DataDatabase): Promise<pg.Client> {
    if (this.#open?.key !== database.key) {
      await this.end();
      this.#open = { key: database.key, client: await this.#connect(database) };
    }
    return this.#open.client;
  }

  /** After an error: a connection that did not survive it is not given out again. */
  async afterError(error: unknown): Promise<void> {
    if (isConnectionLost(error)) await this.end();
  }

  async end(): Promise<void> {
    const client = this.#open?.client;
    this.#open = undefined;
    await client?.end().catch(() => {});
  }
}
