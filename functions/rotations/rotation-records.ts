/**
 * Rotations in the registry.
 *
 *   (none) ──due, or requested──▶ running ──all values handled──▶ succeeded
 *                                 running ──the tenant is no longer here──▶ failed
 *   running: free ──lease──▶ at work ──release, or the lease runs out──▶ free
 *
 * Invariants: a tenant has one running rotation of each cause at most, and several do each other no harm; a worker that dies leaves a running one, which the next worker
 * continues behind its last row.
 */
import { type Expression, sql } from 'kysely';
import { MULTI_REGION_KEYS } from '../aws/key-copies.ts';
import { IN_USE } from '../contracts/tenant.ts';
import { recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import type { RotationCause } from '../registry/field-rotations.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { columnValue, now, secondsSince } from '../registry/registry-expressions.ts';
import { type RegistrySql, registrySql } from '../registry/registry-sql.ts';

/** Data keys are replaced when they are older, in days. */
export const ROTATION_DAYS = 90;
/** In seconds. A worker renews it with each page. */
const LEASE_SECONDS = 120;
const SYSTEM = { id: 'field-rotation', type: 'system' } as const;

export interface RotatedTenant {
  readonly tenantId: string;
  /** The KMS key that its values are to be under. */
  readonly keyArn: string;
  readonly epoch: number;
}

export interface DueTenant extends RotatedTenant {
  readonly cause: RotationCause;
  /** It has a dedicated database and no key of its own, or none that can be copied where keys are copied. */
  readonly lacksKey: boolean;
}

export interface Rotation {
  readonly rotationId: string;
  readonly tenantId: string;
  /** The KMS key that the last page was encrypted under; null before the first. */
  readonly keyArn: string | null;
  /** Of the tenant's place at the last page. */
  readonly epoch: number;
  readonly cause: RotationCause;
  /** In seconds since 1970. */
  readonly staleBefore: number;
  readonly after: string | undefined;
  /** Since its start, in seconds. */
  readonly ageSeconds: number;
  /** The key and the place that the tenant has now; undefined when it is no longer in this region. */
  readonly current: { readonly keyArn: string; readonly epoch: number } | undefined;
}

/** A region with its keys. */
export interface RegionKeys {
  /** Key of the region. */
  readonly region: string;
  /** ARN of the region's KMS key. */
  readonly regionKeyArn: string;
  /** AWS region that has copies of the keys; undefined: none has. */
  readonly copiedTo?: string | undefined;
}

/** The placed tenants of a region, with the KMS key that their values are to be under. */
const placedTenants = (db: RegistrySql, { region, regionKeyArn, copiedTo }: RegionKeys) =>
  db
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('tenant_field_keys as k', (key) =>
      key.onRef('k.tenant_id', '=', 't.tenant_id').on('k.retired_at', 'is', null),
    )
    .select((eb) => [
      't.tenant_id',
      'r.epoch',
      eb
        .case()
        .when(eb.and([eb('r.isolation_model', '=', 'dedicated'), eb('k.key_arn', 'is not', null)]))
        .then(eb.ref('k.key_arn').$notNull())
        .else(columnValue('tenant_field_keys.key_arn', regionKeyArn))
        .end()
        .as('key_arn'),
      eb
        .and([
          eb('r.isolation_model', '=', 'dedicated'),
          eb.or([
            eb('k.key_arn', 'is', null),
            ...(copiedTo === undefined ? [] : [eb('k.key_arn', 'not like', MULTI_REGION_KEYS)]),
          ]),
        ])
        .as('lacks_key'),
    ])
    .where('t.status', 'in', IN_USE)
    .where('r.region', '=', region);

const ago = (interval: string) => sql<TimeWithoutZone>`now() - cast(${sql.lit(interval)} as interval)`;

/**
 * Tenants whose values may be under another key than the present one (they are new, or have moved, or were restored), or
 * under old data keys.
 */
export async function listDueTenants(
  registry: RegistryExecutor,
  {
    limit,
    tenantId,
    ...keys
  }: RegionKeys & {
    readonly limit: number;
    /** Only this one. */
    readonly tenantId?: string | undefined;
  },
): Promise<DueTenant[]> {
  const db = registrySql(registry);
  const rows = await db
    .selectFrom(placedTenants(db, keys).as('p'))
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('field_rotations as f')
          .select(['f.status', 'f.key_arn as last_key', 'f.epoch as last_epoch', 'f.finished_at'])
          .whereRef('f.tenant_id', '=', 'p.tenant_id')
          .orderBy('f.started_at', 'desc')
          .limit(1)
          .as('last'),
      (join) => join.onTrue(),
    )
    .select((eb) => [
      'p.tenant_id',
      'p.epoch',
      'p.key_arn',
      'p.lacks_key',
      eb
        .case()
        .when(
          eb.and([
            eb('last.status', '=', 'succeeded'),
            eb('last.last_key', '=', eb.ref('p.key_arn')),
            eb('last.last_epoch', '=', eb.ref('p.epoch')),
            eb('p.lacks_key', '=', false),
          ]),
        )
        .then(sql.lit('age' as const))
        .else(sql.lit('key' as const))
        .end()
        .as('cause'),
    ])
    .where((eb) =>
      eb.or([
        eb('last.status', 'is', null),
        eb('last.status', '=', 'failed'),
        eb.and([
          eb('last.status', '=', 'succeeded'),
          eb.or([
            eb('last.last_key', '<>', eb.ref('p.key_arn')),
            eb('last.last_epoch', '<>', eb.ref('p.epoch')),
            eb('p.lacks_key', '=', true),
            eb('last.finished_at', '<', ago(`${ROTATION_DAYS} days`)),
          ]),
        ]),
      ]),
    )
    .$if(tenantId !== undefined, (all) =>
      all.where('p.tenant_id', '=', columnValue('tenants.tenant_id', tenantId as string)),
    )
    .orderBy('p.tenant_id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    keyArn: row.key_arn,
    epoch: row.epoch,
    cause: row.cause,
    lacksKey: row.lacks_key === true,
  }));
}

/** The placed tenant with its present key; undefined when it is not in this region. */
export async function findRotatedTenant(
  registry: RegistryExecutor,
  tenantId: string,
  keys: RegionKeys,
): Promise<RotatedTenant | undefined> {
  const row = await placedTenants(registrySql(registry), keys)
    .where('t.tenant_id', '=', tenantId)
    .executeTakeFirst();
  return row && { tenantId: row.tenant_id, keyArn: row.key_arn, epoch: row.epoch };
}

export interface NewRotation {
  readonly rotationId: string;
  readonly tenantId: string;
  readonly region: string;
  readonly cause: RotationCause;
  /** null: the worker decides. */
  readonly keyArn: string | null;
  readonly epoch: number;
  readonly startedBy: string;
}

/** @returns false when the tenant has a running one of that cause already. */
export async function insertRotation(
  registry: RegistryExecutor,
  { rotationId, tenantId, region, cause, keyArn, epoch, startedBy }: NewRotation,
): Promise<boolean> {
  const inserted = await registrySql(registry)
    .insertInto('field_rotations')
    .values({
      rotation_id: rotationId,
      tenant_id: tenantId,
      region,
      cause,
      key_arn: keyArn,
      epoch,
      stale_before: STALE_BEFORE[cause],
      started_by: startedBy,
    })
    .onConflict((running) =>
      running.columns(['tenant_id', 'cause']).where('status', '=', 'running').doNothing(),
    )
    .returning('rotation_id')
    .execute();
  return inserted.length > 0;
}

/** After a change of the KMS key the age of data keys does not matter. */
const STALE_BEFORE = {
  key: columnValue('field_rotations.stale_before', '1970-01-01T00:00:00Z'),
  age: ago(`${ROTATION_DAYS} days`),
  request: now,
} as const;

/** Rounded up: a data key of the same second is replaced as well. */
const secondsOf = (time: Expression<TimeWithoutZone>) =>
  sql<number>`cast(ceil(extract(epoch from ${time})) as double precision)`;

/** Running rotations of the region that no worker is on, the oldest first. */
export async function listFreeRotations(
  registry: RegistryExecutor,
  {
    region,
    limit,
    tenantId,
  }: { readonly region: string; readonly limit: number; readonly tenantId?: string | undefined },
): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('field_rotations as f')
    .select('f.rotation_id')
    .where('f.region', '=', region)
    .where('f.status', '=', 'running')
    .$if(tenantId !== undefined, (all) => all.where('f.tenant_id', '=', tenantId as string))
    .where((eb) => eb.or([eb('f.leased_until', 'is', null), eb('f.leased_until', '<', now)]))
    .orderBy('f.started_at')
    .limit(limit)
    .execute();
  return rows.map(({ rotation_id }) => rotation_id);
}

/** Takes a rotation; undefined when another worker has it, or it has ended. */
export async function leaseRotation(
  registry: RegistryExecutor,
  rotationId: string,
  keys: RegionKeys,
): Promise<Rotation | undefined> {
  const row = await registrySql(registry)
    .updateTable('field_rotations')
    .set({ leased_until: until(LEASE_SECONDS), updated_at: now })
    .where('rotation_id', '=', rotationId)
    .where('status', '=', 'running')
    .where((eb) => eb.or([eb('leased_until', 'is', null), eb('leased_until', '<', now)]))
    .returning((eb) => [
      'tenant_id',
      'key_arn',
      'epoch',
      'cause',
      'after_row',
      secondsOf(eb.ref('stale_before')).as('stale_before'),
      secondsSince(eb.ref('started_at')).as('age'),
    ])
    .executeTakeFirst();
  if (!row) return undefined;
  return {
    rotationId,
    tenantId: row.tenant_id,
    keyArn: row.key_arn,
    epoch: row.epoch,
    cause: row.cause,
    staleBefore: row.stale_before,
    after: row.after_row ?? undefined,
    ageSeconds: row.age,
    current: await findRotatedTenant(registry, row.tenant_id, keys),
  };
}

const until = (seconds: number) =>
  sql<TimeWithoutZone>`now() + cast(${sql.lit(`${seconds} seconds`)} as interval)`;

export interface RotationProgress {
  /** undefined: begin again with the first row. */
  readonly after: string | undefined;
  readonly done: number;
  readonly damaged: number;
  /** The key and the place that the next pages are for. */
  readonly keyArn: string;
  readonly epoch: number;
}

/** Adds a page's figures, and renews the lease, or ends it. */
export async function noteProgress(
  registry: RegistryExecutor,
  rotationId: string,
  { after, done, damaged, keyArn, epoch }: RotationProgress,
  { release = false }: { readonly release?: boolean } = {},
): Promise<void> {
  await registrySql(registry)
    .updateTable('field_rotations')
    .set((eb) => ({
      after_row: after ?? null,
      values_done: eb('values_done', '+', columnValue('field_rotations.values_done', done)),
      values_damaged: eb('values_damaged', '+', columnValue('field_rotations.values_damaged', damaged)),
      key_arn: keyArn,
      epoch,
      leased_until: release ? null : until(LEASE_SECONDS),
      updated_at: now,
    }))
    .where('rotation_id', '=', rotationId)
    .where('status', '=', 'running')
    .execute();
}

/** Ends a rotation, once. @param reason of a failure; may be shown. */
export async function endRotation(
  registry: Pick<DataApi, 'transaction'>,
  { rotationId, tenantId }: Pick<Rotation, 'rotationId' | 'tenantId'>,
  reason?: string,
): Promise<void> {
  await registry.transaction(async (transaction) => {
    const ended = await registrySql(transaction)
      .updateTable('field_rotations')
      .set({
        status: reason === undefined ? 'succeeded' : 'failed',
        reason: reason ?? null,
        finished_at: now,
        leased_until: null,
        updated_at: now,
      })
      .where('rotation_id', '=', rotationId)
      .where('status', '=', 'running')
      .returning(['cause', 'values_done', 'values_damaged'])
      .executeTakeFirst();
    // Nothing is said of a tenant that had nothing to encrypt.
    if (!ended || (ended.cause !== 'request' && ended.values_done + ended.values_damaged === 0)) return;
    await recordAudit(transaction, {
      actor: SYSTEM,
      action: reason === undefined ? 'fields.rotated' : 'fields.rotation-failed',
      tenantId,
      resource: { type: 'field_rotation', id: rotationId },
      data: { cause: ended.cause, values: ended.values_done, damaged: ended.values_damaged },
    });
  });
}
