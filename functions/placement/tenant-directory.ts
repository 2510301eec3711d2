/**
 * Who the tenants are and where they live, as this container remembers it (L1).
 *
 * `RegistryMemory` says when an answer is fresh, stale or unknown, and what serves while the registry does not answer:
 * only a value that no later answer contradicted, for `STALE_FOR` after it was last confirmed.
 * Invariant: a placement is never trusted, only tried: the database refuses a wrong epoch, so the cache may be wrong
 * but never harmful.
 */

import { isUuid } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import type { DirectoryRow } from './directory-statements.ts';
import { type NextPlace, type Placement, parseNextPlace, type RoutingRow, toPlacement } from './placement.ts';
import { askOnce, RegistryHealth, RegistryMemory } from './registry-memory.ts';

export interface DirectoryEntry {
  readonly tenantId: string;
  readonly slug: string;
  /** `elsewhere`: `homeRegion` serves it; `arriving`: a move is bringing it here. */
  readonly status: string;
  /** Key of the region that serves the tenant. */
  readonly homeRegion: string;
  /** Undefined for a tenant of another region, whatever the registry still holds of it. */
  readonly placement: Placement | undefined;
  /** Where a move that has copied the tenant's data will take it, in this region or another one. */
  readonly next?: NextPlace | undefined;
}

export type MemberRole = 'admin' | 'member' | 'viewer';
export interface Member {
  readonly userId: string;
  readonly role: MemberRole;
}

/** Loaded with the first look-up, as the Data API's client is: a function starts faster without the query builder's part. */
const loadStatements = () => import('./directory-statements.ts');

/** The registry has no such right, or no such column: in a deployment, the code may come before them. */
const NOT_THERE_YET = ['42501', '42703', '42P01'];
/** How long a region's URL is believed, in milliseconds: it changes with a deployment at most. */
const API_URL_FRESH_FOR = 60_000;
/**
 * How long what was known goes on serving while the registry does not answer, in milliseconds. It bounds how long a
 * user that was removed just before the registry failed may still be let in by a container that had not noticed.
 */
const STALE_FOR = 15 * 60_000;
/** How long a request waits for the registry, in ms: one that knows an older answer, and one that knows none. */
const PATIENCE = 1_000;
const LOOK_UP_LIMIT = 5_000;

export interface DirectoryOptions {
  /** How long an answer of the registry is believed: a suspension or a removed member shows after this, at most. */
  readonly freshForMs?: number;
  readonly staleForMs?: number;
  readonly patienceMs?: number;
  readonly lookUpLimitMs?: number;
  readonly cap?: number;
}

export class TenantDirectory {
  readonly #registry: RegistryExecutor;
  readonly #tenants: RegistryMemory<DirectoryEntry>;
  readonly #members: RegistryMemory<Member>;
  readonly #apiUrls: RegistryMemory<string>;

  constructor(registry: RegistryExecutor, options: DirectoryOptions = {}) {
    this.#registry = registry;
    const { freshForMs = 2_000, staleForMs = STALE_FOR, cap = 10_000 } = options;
    const { patienceMs = PATIENCE, lookUpLimitMs = LOOK_UP_LIMIT } = options;
    const limits = { freshForMs, staleForMs, patienceMs, lookUpLimitMs, cap };
    const health = new RegistryHealth();
    this.#tenants = new RegistryMemory(health, (tenantId) => this.#readById(tenantId), limits);
    this.#members = new RegistryMemory(health, (key) => this.#readMember(key), limits);
    this.#apiUrls = new RegistryMemory(health, (regionKey) => this.#readApiUrl(regionKey), {
      ...limits,
      cap: 20,
      freshForMs: API_URL_FRESH_FOR,
    });
  }

  /** The tenant of an id, or undefined where there is none. */
  async byId(tenantId: string): Promise<DirectoryEntry | undefined> {
    return this.#tenants.get(tenantId);
  }

  /** The tenant that an id or a slug names, or undefined where there is none. */
  async byReference(reference: string): Promise<DirectoryEntry | undefined> {
    if (isUuid(reference)) return this.byId(reference);
    // Only operators name a tenant by its slug, so this is not worth a cache of its own.
    const row = await askOnce(() => this.#readRow('bySlug', reference));
    return row && this.#remember(toEntry(row));
  }

  /** The active user of that address in that tenant, or undefined. */
  async member(tenantId: string, email: string): Promise<Member | undefined> {
    return this.#members.get(`${tenantId} ${email}`);
  }

  /** Where a region serves its tenants, or undefined where the registry does not know it. */
  async apiUrlOf(regionKey: string): Promise<string | undefined> {
    return this.#apiUrls.get(regionKey);
  }

  /**
   * Asks the registry again, whatever is remembered.
   * @throws {TenantUnavailable} it does not answer; at once where it did not a moment ago.
   */
  async refresh(tenantId: string): Promise<DirectoryEntry | undefined> {
    return this.#tenants.lookUnlessInDoubt(tenantId);
  }

  /** Takes over a placement that the tenant's former database told, unless a newer one is known already. */
  learn(placement: Placement): void {
    const known = this.#tenants.recall(placement.tenantId);
    if (known && (known.placement?.epoch ?? 0) < placement.epoch)
      this.#tenants.amend(placement.tenantId, { ...known, placement });
  }

  #remember(entry: DirectoryEntry): DirectoryEntry {
    const kept = this.#withNewerPlacement(entry);
    this.#tenants.remember(entry.tenantId, kept);
    return kept;
  }

  #withNewerPlacement(entry: DirectoryEntry): DirectoryEntry {
    return keepNewerPlacement(entry, this.#tenants.recall(entry.tenantId));
  }

  async #readById(tenantId: string): Promise<DirectoryEntry | undefined> {
    const row = await this.#readRow('byId', tenantId);
    return row && this.#withNewerPlacement(toEntry(row));
  }

  async #readRow(by: 'byId' | 'bySlug', reference: string): Promise<DirectoryRow | undefined> {
    const { whole, plain } = (await loadStatements())[by];
    const rows: DirectoryRow[] = await whole.run(this.#registry, { reference }).catch((error: unknown) => {
      if (!(error instanceof RegistryError && NOT_THERE_YET.includes(error.sqlState ?? ''))) throw error;
      return plain.run(this.#registry, { reference });
    });
    return rows[0];
  }

  async #readMember(key: string): Promise<Member | undefined> {
    // The address is all that follows the id, whatever it holds.
    const [tenantId, email] = [key.slice(0, key.indexOf(' ')), key.slice(key.indexOf(' ') + 1)];
    const { activeMember } = await loadStatements();
    const [row] = await activeMember.run(this.#registry, { tenantId, email });
    return row && { userId: row.user_id, role: row.role };
  }

  async #readApiUrl(regionKey: string): Promise<string | undefined> {
    const { apiUrlOfRegion } = await loadStatements();
    const [row] = await apiUrlOfRegion.run(this.#registry, { regionKey });
    return row?.api_url;
  }
}

/** The registry follows a move a moment later than the databases: its older answer must not undo a forward. */
function keepNewerPlacement(entry: DirectoryEntry, known: DirectoryEntry | undefined): DirectoryEntry {
  if (entry.status === 'elsewhere') return entry;
  if (!known?.placement || known.placement.epoch <= (entry.placement?.epoch ?? 0)) return entry;
  return { ...entry, placement: known.placement };
}

function toEntry(row: DirectoryRow): DirectoryEntry {
  return {
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    status: row.status,
    homeRegion: row.home_region,
    next: row.next_place ? parseNextPlace(row.next_place) : undefined,
    placement: row.status !== 'elsewhere' && isPlaced(row) ? toPlacement(row) : undefined,
  };
}

/** A routing row has all of these; a tenant whose place is not decided has none. */
function isPlaced(row: DirectoryRow): row is DirectoryRow & RoutingRow {
  return row.isolation_model !== null && row.epoch !== null && row.secret_arn !== null;
}
