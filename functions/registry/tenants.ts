import { sql } from 'kysely';
import { tierSatisfying, type Unsatisfied, unsatisfied, weaker } from '../contracts/compliance.ts';
import type { IsolationModel, TenantStatus, Tier } from '../contracts/tenant.ts';
import { mergePatch, requireDocumentSize } from '../resources/documents.ts';
import { requireMatch } from '../resources/entity-tag.ts';
import { ResourceConflict, RulesForbid } from '../resources/errors.ts';
import { mergeRows, type PageRequest, type Position, readCursor } from '../resources/keyset-page.ts';
import { patternOf } from '../resources/literal-search.ts';
import { askRegions, type Regions } from './ask-region.ts';
import { recordAudit } from './audit-log.ts';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { RegistryError } from './errors.ts';
import { suspendedByOperator, takenAsItIs } from './lost-tenants.ts';
import { insertOffer } from './offers.ts';
import { columnValue, now, rfc3339 } from './registry-expressions.ts';
import { isCut, pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly, registrySql } from './registry-sql.ts';
import type { RegistryTables } from './registry-tables.ts';
import {
  complete,
  getTenant,
  requireNotErased,
  selectTenants,
  type TenantRecord,
  type TenantRow,
} from './tenant-record.ts';

export interface TenantFilter {
  readonly status?: TenantStatus | undefined;
  readonly tier?: Tier | undefined;
  readonly dataResidency?: string | undefined;
  readonly q?: string | undefined;
}

/** The fields of a tenant that an operator may change. `undefined` leaves a field as it is. */
export interface TenantChanges {
  readonly name?: string | undefined;
  readonly status?: 'active' | 'suspended' | undefined;
  readonly billingEmail?: string | null | undefined;
  readonly maxUsers?: number | null | undefined;
  readonly maxStorageGb?: number | null | undefined;
  readonly requestRate?: number | null | undefined;
  readonly requestBurst?: number | null | undefined;
  readonly features?: Record<string, unknown> | null | undefined;
  readonly complianceRequirements?: string[] | undefined;
  readonly monthlyRevenue?: number | null | undefined;
  /** `YYYY-MM-DD`; null: the subscription has no end. */
  readonly subscriptionEndDate?: string | null | undefined;
  /** Why the tenant must not be erased; null: it may be. */
  readonly legalHold?: string | null | undefined;
}

const COLUMNS = {
  name: 'tenant_name',
  status: 'status',
  billingEmail: 'billing_email',
  maxUsers: 'max_users',
  maxStorageGb: 'max_storage_gb',
  requestRate: 'request_rate',
  requestBurst: 'request_burst',
  features: 'features',
  complianceRequirements: 'compliance_requirements',
  monthlyRevenue: 'monthly_revenue',
  subscriptionEndDate: 'subscription_end_date',
  legalHold: 'legal_hold',
} as const satisfies Record<keyof TenantChanges, keyof RegistryTables['tenants']>;
/** Largest size of features as JSON after a merge, in KB: a row of the Data API takes 64 KB. */
const MAX_FEATURES_KB = 16;
/**
 * One page of the tenants of all regions by creation; with a residency, only that residency's region is queried.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listTenants(registries: Regions, filter: TenantFilter, page: PageRequest) {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const { dataResidency } = filter;
  const regions = registries.keys.filter((key) => dataResidency === undefined || dataResidency === key);
  // With one region, its cells may have any residency. With several, every residency is a region.
  const asked = registries.keys.length < 2 ? registries.keys : regions;
  const answers = await askRegions(registries, asked, (registry) =>
    readTenants(registry, filter, page, position),
  );
  const known = answers.map((list, index) =>
    list.map((row) => ({
      ...row,
      registryKey: asked[index] as string,
      // The tenant as the API shows it, including features that its row leaves out.
      row_bytes: row.row_bytes + (row.large_features_bytes ?? 0),
    })),
  );
  const lists = onceEach(known);
  const positionOf = (row: ListedRow & { registryKey: string }) => ({
    time: row.cursor_time,
    id: row.tenant_id,
  });
  const rows = mergeRows(lists, positionOf);
  const { items, nextCursor } = pageOfBoundedRows(rows, page, positionOf, (row) => row, known.some(isCut));
  const tenants = items.map((row) => complete(registries.of(row.registryKey), row));
  return { items: await Promise.all(tenants), nextCursor };
}

/** During a hand-over a tenant is in two registries for a moment: the one with the later epoch is current. */
function onceEach<Row extends ListedRow>(lists: Row[][]): Row[][] {
  const latest = new Map<string, Row>();
  for (const row of lists.flat()) {
    const other = latest.get(row.tenant_id);
    if (!other || Number(other.epoch) < Number(row.epoch)) latest.set(row.tenant_id, row);
  }
  return lists.map((rows) => rows.filter((row) => latest.get(row.tenant_id) === row));
}

type ListedRow = TenantRow & { cursor_time: string };

async function readTenants(
  registry: RegistryExecutor,
  filter: TenantFilter,
  page: PageRequest,
  position: Position | undefined,
) {
  let select = selectTenants(compilingOnly)
    .select((eb) => rfc3339(eb.ref('t.created_at')).as('cursor_time'))
    .where('t.status', 'not in', ['elsewhere', 'arriving'])
    .orderBy('t.created_at')
    .orderBy('t.tenant_id');
  const { status, tier, dataResidency, q } = filter;
  if (status !== undefined) select = select.where('t.status', '=', status);
  if (tier !== undefined) select = select.where('t.subscription_tier', '=', tier);
  if (dataResidency !== undefined) select = select.where('t.data_residency', '=', dataResidency);
  if (q !== undefined) {
    const pattern = patternOf(q);
    select = select.where((eb) =>
      eb.or([eb('t.tenant_name', 'ilike', pattern), eb('t.tenant_slug', 'ilike', pattern)]),
    );
  }
  if (position) {
    select = select.where((eb) =>
      eb(
        eb.refTuple('t.created_at', 't.tenant_id'),
        '>',
        eb.tuple(columnValue('tenants.created_at', position.time), position.id),
      ),
    );
  }
  return readBoundedRows(registry, { select, order: sql`cursor_time, tenant_id` }, page);
}

/**
 * @param force keeps requirements that the tenant's place does not satisfy, and offers the tenant the tier that does.
 * @throws {ResourceNotFound | VersionMismatch | ResourceConflict | DocumentTooLarge (features)}
 * @throws {RulesForbid} the tenant's place does not satisfy a new compliance requirement.
 */
export async function updateTenant(
  registry: Pick<DataApi, 'transaction'>,
  reference: string,
  changes: TenantChanges,
  { actor, ifMatch, force = false }: { actor: string; ifMatch: string | undefined; force?: boolean },
): Promise<TenantRecord> {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined) as [
    keyof TenantChanges,
    unknown,
  ][];
  try {
    return await registry.transaction(async (transaction) => {
      const tenant = await getTenant(transaction, reference, { lock: true });
      requireMatch(ifMatch, tenant);
      if (given.length === 0) return tenant;
      requireNotErased(tenant);
      if (changes.status && !['active', 'suspended'].includes(tenant.status)) {
        throw new ResourceConflict(
          `A tenant that is ${tenant.status} cannot become ${changes.status}.`,
          'status',
        );
      }
      // A document is merged, as every PATCH merges (RFC 7396).
      const features = changes.features && mergePatch(tenant.features, changes.features);
      requireDocumentSize('features', features, MAX_FEATURES_KB);
      await requireRoomForUsers(transaction, tenant, changes.maxUsers);
      const forced = await checkCompliance(transaction, tenant, changes.complianceRequirements, force);
      const values = { ...changes, ...(features ? { features } : {}) };
      await registrySql(transaction)
        .updateTable('tenants')
        .set({
          ...Object.fromEntries(given.map(([field]) => [COLUMNS[field], values[field]])),
          ...(changes.status === 'active' ? takenAsItIs : {}),
          ...(changes.status === 'suspended' ? suspendedByOperator : {}),
          updated_at: now,
        })
        .where('tenant_id', '=', tenant.tenantId)
        .execute();
      await recordAudit(transaction, {
        actor: { id: actor, type: 'operator' },
        action: 'tenant.update',
        tenantId: tenant.tenantId,
        data: {
          fields: given.map(([field]) => field),
          ...(forced.length > 0 ? { overridden: ['compliance'] } : {}),
          // Not the reason: it may name people, and the audit log outlives an erasure.
          ...(changes.legalHold === undefined
            ? {}
            : { legalHold: changes.legalHold === null ? 'released' : 'set' }),
        },
      });
      if (forced.length > 0) await offerWhatSatisfies(transaction, tenant, changes, forced, actor);
      return getTenant(transaction, tenant.tenantId);
    });
  } catch (error) {
    if (error instanceof RegistryError && error.sqlState === '23505') {
      throw new ResourceConflict('Another tenant has this name.', 'name', { cause: error });
    }
    throw error;
  }
}

/** @throws {ResourceConflict} fewer users than are active. The tenant's current limit always stays allowed. */
async function requireRoomForUsers(
  transaction: RegistryExecutor,
  tenant: TenantRecord,
  maxUsers: number | null | undefined,
): Promise<void> {
  if (maxUsers === undefined || maxUsers === null || maxUsers === tenant.maxUsers) return;
  const active = await countActiveUsers(transaction, tenant.tenantId);
  if (maxUsers >= active) return;
  throw new ResourceConflict(
    `The tenant has ${active} active users: maxUsers cannot be less than that.`,
    'maxUsers',
  );
}

/** The users that `maxUsers` limits. Exact while the caller holds the lock on the tenant. */
export async function countActiveUsers(registry: RegistryExecutor, tenantId: string): Promise<number> {
  const row = await registrySql(registry)
    .selectFrom('tenant_users')
    .select((eb) => eb.fn.countAll<number>().as('active'))
    .where('tenant_id', '=', tenantId)
    .where('is_active', '=', true)
    .executeTakeFirst();
  return row?.active ?? 0;
}

/**
 * Compares new requirements with the tenant's place, or with the target of its running move when that is weaker.
 * Earlier requirements are not checked again.
 * @returns what `force` sets aside. @throws {RulesForbid} without `force`.
 */
async function checkCompliance(
  transaction: RegistryExecutor,
  tenant: TenantRecord,
  requirements: readonly string[] | undefined,
  force: boolean,
): Promise<readonly Unsatisfied[]> {
  const added = requirements?.filter((each) => !tenant.complianceRequirements.includes(each)) ?? [];
  if (added.length === 0) return [];
  const moving = await registrySql(transaction)
    .selectFrom('tenant_moves as m')
    .select(sql<IsolationModel | null>`${sql.ref('m.plan')} #>> '{-1,to,isolationModel}'`.as('to'))
    .where('m.tenant_id', '=', tenant.tenantId)
    .where('m.status', '=', 'running')
    .executeTakeFirst();
  const place = moving?.to ? weaker(tenant.isolationModel, moving.to) : tenant.isolationModel;
  const issues = unsatisfied(added, place);
  if (issues.length === 0 || force) return issues;
  const field = 'complianceRequirements';
  throw new RulesForbid(
    'The place of the tenant does not satisfy the compliance requirements.',
    issues.map((issue) => ({ ...issue, field })),
  );
}

async function offerWhatSatisfies(
  transaction: RegistryExecutor,
  { tenantId, tier, cloneOf }: TenantRecord,
  { complianceRequirements = [] }: TenantChanges,
  reasons: readonly Unsatisfied[],
  actor: string,
): Promise<void> {
  // A clone is for support or tests: nobody is asked to pay more for it.
  if (cloneOf !== undefined) return;
  const targetTier = tierSatisfying(complianceRequirements);
  // The tenant has the sufficient tier already, and a move to a weaker place is running: the operator must abort that
  // move. (Every place satisfies what Starter's places satisfy, so that tier is never offered.)
  if (targetTier === tier || targetTier === 'starter') return;
  const offer = { tenantId, targetTier, reasons, figures: { tier, complianceRequirements } };
  await insertOffer(transaction, offer, { id: actor, type: 'operator' });
}
