/**
 * Compares the records of one tenant in the registry, the databases and the bucket. Pure functions: they change
 * nothing.
 *
 * The databases are authoritative for a tenant's place: it is the placement that is not `moved`, if there is exactly
 * one. While a move commits there may be two. Then nothing is decided, because only the source's row shows which one is
 * valid.
 */

import { WITH_DATA } from '../contracts/tenant.ts';
import { describePlace } from '../places/place.ts';
import type { Difference, DifferenceKind } from './differences.ts';
import { describeDatabase, type FoundPlacement, type TenantPlacements } from './region-databases.ts';
import type { RegisteredBackup, RegisteredTenant } from './registered-tenants.ts';
import { expiryOf, type StoredBackup } from './stored-backups.ts';

export interface TenantFacts extends TenantPlacements {
  readonly tenantId: string;
  /** Key of the registry's region. */
  readonly region: string;
  readonly registered: RegisteredTenant | undefined;
  readonly stored: readonly StoredBackup[];
  readonly now: Date;
  /** Whether tenants are registered from their backups whose rows are lost. */
  readonly registerLost: boolean;
  /** Key of another region whose registry has the tenant; looked up for `registerLost` only. */
  readonly otherRegion: string | undefined;
}

/** A change of the registry. */
export type Mend =
  /** Sets the routing row to the placement. */
  | { readonly do: 'follow'; readonly placement: FoundPlacement }
  /** Does the same and sets the tenant to active. */
  | { readonly do: 'activate'; readonly placement: FoundPlacement }
  /** Restores record, users and route of a tenant. */
  | { readonly do: 'register'; readonly placement: FoundPlacement }
  /** Restores record and users of a tenant whose rows are lost, and plans a place for it. */
  | { readonly do: 'register-lost' }
  /** Restores the record of a backup. */
  | { readonly do: 'record-backup'; readonly backup: StoredBackup };

export type Judged = Omit<Difference, 'outcome' | 'tenantId' | 'mend'> & {
  readonly tenantId: string;
  /** The change and its description; absent if this workflow cannot mend the difference. */
  readonly mend?: { readonly words: string; readonly work: Mend };
};

/**
 * A backup writes its manifest shortly before its record ends. A younger manifest may belong to a backup that is
 * finishing.
 */
const FINISHING_MS = 15 * 60_000;

export function judgeTenant(facts: TenantFacts): Judged[] {
  const place = judgePlace(facts);
  // The record of a backup needs the tenant's row.
  const comesBack = place.some(
    ({ mend }) => mend?.work.do === 'register' || mend?.work.do === 'register-lost',
  );
  return [...place, ...(facts.registered || comesBack ? judgeBackups(facts) : [])];
}

/** Compares the tenant's place. @returns at most one difference: the first that applies. */
function judgePlace(facts: TenantFacts): Judged[] {
  const { tenantId, registered, placements, unreachable, stored, region } = facts;
  const say = (kind: DifferenceKind, says: string): Judged[] => [{ tenantId, kind, says }];
  if (registered?.isMoving) {
    return say(
      'move-running',
      'The registry has a running move or restore of the tenant. Its recovery ends it within minutes; compare again then.',
    );
  }
  const live = placements.filter(({ state }) => state !== 'moved');
  // A database that cannot be read may have the valid placement.
  if (unreachable.length > 0) {
    const [only] = live;
    if (live.length > 0 && registered?.route?.epoch === only?.epoch) return [];
    return say(
      'database-unreachable',
      `The place of the tenant is not decided: ${unreachable.join(', ')} cannot be reached.`,
    );
  }
  if (live.length > 1) {
    const places = live.map(({ database, epoch }) => `${describeDatabase(database)} in epoch ${epoch}`);
    return say(
      'placements-conflict',
      `The tenant is active in ${places.join(' and in ')}: a move was cut off around its commit, and the registry does not have that move. The lower epoch is valid; see docs/backups.md.`,
    );
  }
  const [placement] = live;
  if (!placement) return judgeAbsence(facts);
  if (!registered) return [unknownTenant(facts, placement)];
  if (registered.status === 'elsewhere') {
    return say(
      'tenant-in-other-region',
      `The registry has the tenant in another region, but the tenant is active here in ${describeDatabase(placement.database)}: it moved to this region later. Write its record by hand from its latest manifest, or from the other region's registry.`,
    );
  }
  if (registered.status === 'provisioning' || registered.status === 'failed') {
    // A running or cut-off onboarding has a placement of the first epoch, and no backup; the backups of a tenant that has
    // lost its rows are older than its onboarding.
    const hasBackup = !registered.isLost && stored.some(({ completedAt }) => completedAt !== null);
    const wasActive = placement.epoch > registered.firstEpoch || hasBackup;
    if (!wasActive) return [];
    return [
      {
        tenantId,
        kind: 'tenant-activated',
        says: `The registry has the tenant as ${registered.status}, but the tenant has been active since in ${wordsOf(placement, region)}, epoch ${placement.epoch}.`,
        mend: {
          words: 'Sets the tenant to active, and its routing row to the placement.',
          work: { do: 'activate', placement },
        },
      },
    ];
  }
  if (!WITH_DATA.includes(registered.status)) return [];
  return judgeRoute(facts, registered, placement);
}

function judgeRoute(
  { tenantId, placements, region }: TenantFacts,
  { route, attempts }: RegisteredTenant,
  placement: FoundPlacement,
): Judged[] {
  const at = `${wordsOf(placement, region)}, epoch ${placement.epoch}`;
  if (route && route.epoch > placement.epoch) {
    return [
      {
        tenantId,
        kind: 'placement-older',
        says: `The registry has epoch ${route.epoch}, but the tenant is active in ${at}: that database was restored to an earlier time.`,
      },
    ];
  }
  if (!route || differs(route, placement)) {
    const known = route
      ? `${describePlace({ isolationModel: route.isolationModel, cellId: route.cellId, region })}, epoch ${route.epoch}`
      : 'no place';
    const hasMoved = placements.some(
      ({ state, database }) => state === 'moved' && (cellOf(database) ?? null) === route?.cellId,
    );
    return [
      {
        tenantId,
        kind: hasMoved ? 'tenant-moved' : 'placement-newer',
        says: `The registry has ${known}; ${hasMoved ? 'in that database the placement is `moved`, and the tenant' : 'the tenant'} is active in ${at}.`,
        mend: {
          words: `Sets the routing row, the isolation model and the tier to this place: ${at}.`,
          work: { do: 'follow', placement },
        },
      },
    ];
  }
  if (placement.mover !== null && !attempts.includes(placement.mover)) {
    return [
      {
        tenantId,
        kind: 'claim-unknown',
        says: 'The tenant is claimed by a move that the registry does not have. Requests work; see docs/backups.md before the next move.',
      },
    ];
  }
  return [];
}

function differs(route: NonNullable<RegisteredTenant['route']>, placement: FoundPlacement): boolean {
  return (
    route.epoch !== placement.epoch ||
    route.isolationModel !== placement.isolationModel ||
    route.cellId !== cellOf(placement.database) ||
    (route.schemaName ?? placement.schemaName) !== placement.schemaName ||
    (route.roleName ?? placement.roleName) !== placement.roleName
  );
}

const cellOf = (database: FoundPlacement['database']): string | null =>
  database.kind === 'cell' ? database.cellId : null;

function wordsOf({ database, isolationModel }: FoundPlacement, region: string): string {
  return describePlace({ isolationModel, cellId: cellOf(database), region });
}

function unknownTenant({ tenantId, stored, region }: TenantFacts, placement: FoundPlacement): Judged {
  const at = `${wordsOf(placement, region)}, epoch ${placement.epoch}`;
  const difference = { tenantId, kind: 'tenant-unknown' as const };
  if (!stored.some(({ completedAt }) => completedAt !== null)) {
    return {
      ...difference,
      says: `The tenant is in ${at}, but the registry does not have it. The tenant has no backup, so its record and users are lost: only its rows are left. Onboard a new tenant, or write the record by hand.`,
    };
  }
  return {
    ...difference,
    says: `The tenant is in ${at}, but the registry does not have it: it was onboarded later.`,
    mend: {
      words:
        'Restores its record and users from the manifest of its latest backup, and its route from the placement.',
      work: { do: 'register', placement },
    },
  };
}

/** Compares a tenant of which no database has an active placement. */
function judgeAbsence(facts: TenantFacts): Judged[] {
  const { tenantId, registered, placements, stored, region, otherRegion } = facts;
  const moved = placements.filter(({ state }) => state === 'moved').sort((a, b) => b.epoch - a.epoch)[0];
  if (registered && !WITH_DATA.includes(registered.status)) return [];
  if (moved && moved.forwardRegion !== null && moved.forwardRegion !== region) {
    if (!registered) return [];
    return [
      {
        tenantId,
        kind: 'tenant-in-other-region',
        says: `The tenant moved to region ${moved.forwardRegion} later, and the registry of that region has it. Write this registry's row by hand: status "elsewhere".`,
      },
    ];
  }
  if (!registered) {
    if (moved || !stored.some(({ completedAt }) => completedAt !== null)) return [];
    return [
      {
        tenantId,
        kind: 'tenant-only-backed-up',
        says: `The bucket has backups of the tenant, but neither the registry nor a database has the tenant: ${
          otherRegion === undefined
            ? 'it was offboarded, or its database is lost'
            : `it is in region ${otherRegion} now`
        }.`,
        ...registrationOf(facts),
      },
    ];
  }
  return [
    {
      tenantId,
      kind: 'tenant-without-placement',
      says: moved
        ? `The registry has the tenant as ${registered.status}; in ${describeDatabase(moved.database)} its placement is \`moved\`, and no known database has it now. Deploy, so that all cells are registered, and compare again.`
        : `The registry has the tenant as ${registered.status}, but no database has it: it was removed later, or its database is lost. Its last backup can be cloned.`,
      ...(moved ? {} : registrationOf(facts)),
    },
  ];
}

/** Only where it is asked for: a tenant that has left looks the same. */
function registrationOf({ stored, now, registerLost, otherRegion }: TenantFacts): Pick<Judged, 'mend'> {
  const isRestorable = stored.some(
    (backup) => backup.completedAt !== null && expiryOf(backup, backup.completedAt) > now,
  );
  if (!registerLost || otherRegion !== undefined || !isRestorable) return {};
  return {
    mend: {
      words:
        'Its record and users are those of the registry, or of the manifest of its latest backup; a place is planned for it. Onboard it again and restore that backup: strata revive.',
      work: { do: 'register-lost' },
    },
  };
}

function judgeBackups({ tenantId, registered, stored, now }: TenantFacts): Judged[] {
  const records = new Map(registered?.backups.map((backup) => [backup.backupId, backup]));
  const unknown = stored
    .filter((backup) => isUnrecorded(backup, records.get(backup.backupId), now))
    .map((backup): Judged => {
      const status = records.get(backup.backupId)?.status;
      return {
        tenantId,
        kind: 'backup-unknown',
        says: `Backup ${backup.backupId} is complete in the bucket, but the registry ${status === undefined ? 'does not have it' : `has it as ${status}`}.`,
        mend: {
          words: 'Restores its record from its manifest.',
          work: { do: 'record-backup', backup },
        },
      };
    });
  const complete = new Set(
    stored.filter(({ completedAt }) => completedAt !== null).map(({ backupId }) => backupId),
  );
  const lost = [...records.values()]
    .filter(({ status, hasExpired }) => status === 'succeeded' && !hasExpired)
    .filter(({ backupId }) => !complete.has(backupId))
    .map(
      ({ backupId }): Judged => ({
        tenantId,
        kind: 'backup-without-manifest',
        says: `The registry has backup ${backupId}, but the bucket does not have its manifest: the backup cannot be restored.`,
      }),
    );
  return [...unknown, ...lost];
}

/** Statuses of records whose backup may have been completed later. */
const UNFINISHED: readonly RegisteredBackup['status'][] = ['running', 'aborted'];

function isUnrecorded(backup: StoredBackup, record: RegisteredBackup | undefined, now: Date): boolean {
  const { completedAt } = backup;
  if (completedAt === null || expiryOf(backup, completedAt) <= now) return false;
  if (record === undefined) return true;
  return UNFINISHED.includes(record.status) && now.getTime() - completedAt.getTime() > FINISHING_MS;
}
