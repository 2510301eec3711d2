/**
 * The tenants and their placements, as this container has cached them (L1).
 *
 * `RegistryMemory` defines when an answer is fresh, stale or unknown, and what is used while the registry does not
 * answer: only a value that no later answer contradicted, for `STALE_FOR` after its last confirmation. Invariant: a
 * cached placement is only an attempt. The database refuses a wrong epoch, so a wrong cache does no harm.
 */

import { isUuid } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import type { DirectoryEntry } from './directory-entry.ts';
import type { Placement } from './placement.ts';
import { askOnce, RegistryHealth, RegistryMemory } from './registry-memory.ts';

export type MemberRole = 'admin' | 'member' | 'viewer';
export interface Member {
  readonly userId: string;
  readonly role: MemberRole;
}

/**
 * Loaded with the first look-up, like the Data API's client: a function starts faster without this part of the query
 * builder.
 */
const loadStatements = () => import('./directory-statements.ts');

/** The registry lacks a right or a column: during a deployment the code may be newer than the registry. */
const NOT_THERE_YET = ['42501', '42703', '42P01'];
/** How long a region's URL is cached, in milliseconds: only a deployment can change it. */
const API_URL_FRESH_FOR = 60_000;
/**
 * How long cached answers are used while the registry does not answer, in milliseconds. It bounds how long a container
 * may still admit a user who was removed just before the registry failed.
 */
const STALE_FOR = 15 * 60_000;
/** How long a request waits for the registry, in milliseconds: with a cached answer, and without one. */
const PATIENCE = 1_000;
const LOOK_UP_LIMIT = 5_000;

export interface DirectoryOptions {
  /**
   * How long an answer is used without a look-up: a suspension or a removed member takes effect after this time at
   * most.
   */
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

  /** The tenant with that id, or undefined. */
  async byId(tenantId: string): Promise<DirectoryEntry | undefined> {
    return this.#tenants.get(tenantId);
  }

  /** The tenant with that id or slug, or undefined. */
  async byReference(reference: string): Promise<DirectoryEntry | undefined> {
    if (isUuid(reference)) return this.byId(reference);
    // Only operators name a tenant by its slug, so this answer is not cached.
    const entry = await askOnce(() => this.#readEntry('bySlug', reference));
    return entry && this.#remember(entry);
  }

  /** The active user with that address in that tenant, or undefined. */
  async member(tenantId: string, email: string): Promise<Member | undefined> {
    return this.#members.get(`${tenantId} ${email}`);
  }

  /**
   * Caches what the registry has committed about a user, so that this container need not look it up.
   * @param member undefined for a user who is not active any more.
   */
  learnMember(tenantId: string, email: string, member: Member | undefined): void {
    this.#members.remember(`${tenantId} ${email}`, member);
  }

  /** The URL of a region's API, or undefined when the registry does not know it. */
  async apiUrlOf(regionKey: string): Promise<string | undefined> {
    return this.#apiUrls.get(regionKey);
  }

  /**
   * Looks the tenant up again, even if an answer is cached.
   * @throws {TenantUnavailable} the registry does not answer; thrown at once while it is in doubt.
   */
  async refresh(tenantId: string): Promise<DirectoryEntry | undefined> {
    return this.#tenants.lookUnlessInDoubt(tenantId);
  }

  /** Caches a placement that the tenant's former database has returned, unless a newer one is cached. */
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
    const entry = await this.#readEntry('byId', tenantId);
    return entry && this.#withNewerPlacement(entry);
  }

  async #readEntry(by: 'byId' | 'bySlug', reference: string): Promise<DirectoryEntry | undefined> {
    const { [by]: statements, toEntry } = await loadStatements();
    let refusal: unknown;
    for (const statement of statements) {
      try {
        const [row] = await statement.run(this.#registry, { reference });
        return row && toEntry(row);
      } catch (error) {
        if (!(error instanceof RegistryError && NOT_THERE_YET.includes(error.sqlState ?? ''))) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  async #readMember(key: string): Promise<Member | undefined> {
    // The address is everything behind the id, and may contain any character.
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

/** The registry is updated after the databases: its older answer must not replace a newer placement. */
function keepNewerPlacement(entry: DirectoryEntry, known: DirectoryEntry | undefined): DirectoryEntry {
  if (entry.status === 'elsewhere') return entry;
  if (!known?.placement || known.placement.epoch <= (entry.placement?.epoch ?? 0)) return entry;
  return { ...entry, placement: known.placement };
}
