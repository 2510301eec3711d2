/**
 * Compares what the registry, the databases and the bucket say of one tenant. Pure: it decides, and changes nothing.
 *
 * A database is authoritative for where a tenant is: the one placement that is not `moved`, if there is exactly one. While
 * a move commits there may be two; then nothing is decided, because only the source's row says which of them counts.
 */
import { describePlace } from '../places/place.ts';
import type { TenantStatus } from '../registry/tenant-record.ts';
import type { Difference, DifferenceKind } from './differences.ts';
import { describeDatabase, type FoundPlacement, type TenantPlacements } from './region-databases.ts';
import type { RegisteredBackup, RegisteredTenant } from './registered-tenants.ts';
import { expiryOf, type StoredBackup } from './stored-backups.ts';

export interface TenantFacts extends TenantPlacements {
  readonly tenantId: string;
  /** Key of the region whose registry it is. */
  readonly region: string;
  readonly registered: RegisteredTenant | undefined;
  readonly stored: readonly StoredBackup[];
  readonly now: Date;
  /** Whether tenants are registered from their backups whose rows are lost. */
  readonly registerLost: boolean;
  /** Key of another region whose registry has the tenant; looked up for `registerLost` only. */
  readonly otherRegion: string | undefined;
}

/** What is written to the registry. */
export type Mend =
  /** The routing row follows the placement. */
  | { readonly do: 'follow'; readonly placement: FoundPlacement }
  /** The same, and the tenant is active again. */
  | { readonly do: 'activate'; readonly placement: FoundPlacement }
  /** Record, users and route of a tenant come back. */
  | { readonly do: 'register'; readonly placement: FoundPlacement }
  /** Record and users of a tenant whose rows are lost come back, and a place is planned for it. */
  | { readonly do: 'register-lost' }
  /** The record of a backup comes back. */
  | { readonly do: 'record-backup'; readonly backup: StoredBackup };

export type Judged = Omit<Difference, 'outcome' | 'tenantId' | 'mend'> & {
  readonly tenantId: string;
  /** What is mended, and in words; absent where it is not for this workflow. */
  readonly mend?: { readonly words: string; readonly work: Mend };
};

const WITH_DATA: readonly TenantStatus[] = ['active', 'suspended', 'offboarding'];
/** A manifest is written shortly before its record: a backup that is finishing just now is left alone. */
const FINISHING_MS = 15 * 60_000;

export function judgeTenant(facts: TenantFacts): Judged[] {
  const place = judgePlace(facts);
  // Of a tenant that is not brought back, the record of a backup would have nothing to belong to.
  const comesBack = place.some(
    ({ mend }) => mend?.work.do === 'register' || mend?.work.do === 'register-lost',
  );
  return [...place, ...(facts.registered || comesBack ? judgeBackups(facts) : [])];
}

/** Where the tenant is. At most one difference: the first that applies. */
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
  // A database that is not asked may be the one that counts.
  if (unreachable.length > 0) {
    const [only] = live;
    if (live.length > 0 && registered?.route?.epoch === only?.epoch) return [];
    return say(
      'database-unreachable',
      `It is not decided where the tenant is: ${unreachable.join(', ')} cannot be reached.`,
    );
  }
  if (live.length > 1) {
    const places = live.map(({ database, epoch }) => `${describeDatabase(database)} in epoch ${epoch}`);
    return say(
      'placements-conflict',
      `The tenant is active in ${places.join(' and in ')}: a move was cut off around its commit, and the registry does not have it. The lower epoch counts; see docs/backups.md.`,
    );
  }
  const [placement] = live;
  if (!placement) return judgeAbsence(facts);
  if (!registered) return [unknownTenant(facts, placement)];
  if (registered.status === 'elsewhere') {
    return say(
      'tenant-in-other-region',
      `The registry has the tenant in another region, and ${describeDatabase(placement.database)} has it here: it arrived since. Write its record by hand from its latest manifest, or from the other region's registry.`,
    );
  }
  if (registered.status === 'provisioning' || registered.status === 'failed') {
    // An onboarding that is under way, or was cut off, has a placement of the first epoch, and nothing more; the backups of
    // a tenant that has lost its rows are older.
    const hasBackup = !registered.isLost && stored.some(({ completedAt }) => completedAt !== null);
    const wasActive = placement.epoch > registered.firstEpoch || hasBackup;
    if (!wasActive) return [];
    return [
      {
        tenantId,
        kind: 'tenant-activated',
        says: `The registry has the tenant as ${registered.status}; it has worked since in ${wordsOf(placement, region)}, epoch ${placement.epoch}.`,
        mend: {
          words: 'The tenant becomes active, and its routing row follows the placement.',
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
        says: `The registry has epoch ${route.epoch}, and the tenant is active in ${at}: that database was restored to an earlier time.`,
      },
    ];
  }
  if (!route || differs(route, placement)) {
    const known = route
      ? `${describePlace({ isolationModel: route.isolationModel, cellId: route.cellId, region })}, epoch ${route.epoch}`
      : 'no place';
    const leftBehind = placements.some(
      ({ state, database }) => state === 'moved' && (cellOf(database) ?? null) === route?.cellId,
    );
    return [
      {
        tenantId,
        kind: leftBehind ? 'tenant-moved' : 'placement-newer',
        says: `The registry has ${known}; ${leftBehind ? 'that database says that the tenant has moved, and it' : 'the tenant'} is active in ${at}.`,
        mend: {
          words: `The routing row, the isolation model and the tier follow: ${at}.`,
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
        says: 'A move that the registry does not have has claimed the tenant. Requests work; see docs/backups.md before the next move.',
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
      says: `The tenant is in ${at}, and the registry does not have it. It has no backup, so its record and users are lost: only its rows are left. Onboard a tenant anew, or write its record by hand.`,
    };
  }
  return {
    ...difference,
    says: `The tenant is in ${at}, and the registry does not have it: it was onboarded since.`,
    mend: {
      words:
        'Its record and users come back from the manifest of its latest backup, its route from the placement.',
      work: { do: 'register', placement },
    },
  };
}

/** No database has an active placement of the tenant. */
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
        says: `The tenant has moved to region ${moved.forwardRegion} since, whose registry has it. Write this registry's row by hand: status "elsewhere".`,
      },
    ];
  }
  if (!registered) {
    if (moved || !stored.some(({ completedAt }) => completedAt !== null)) return [];
    return [
      {
        tenantId,
        kind: 'tenant-only-backed-up',
        says: `The bucket has backups of the tenant, and neither the registry nor a database has it: ${
          otherRegion === undefined
            ? 'it has left, or its database is lost'
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
        ? `The registry has the tenant as ${registered.status}; ${describeDatabase(moved.database)} says that it has moved on to a database that is not known here. Deploy, so that all cells are registered, and compare again.`
        : `The registry has the tenant as ${registered.status}, and no database has it: it was removed since, or its database is lost. Its last backup can be cloned.`,
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
        says: `Backup ${backup.backupId} is complete in the bucket, and the registry ${status === undefined ? 'does not have it' : `has it as ${status}`}.`,
        mend: {
          words: 'Its record comes back from its manifest.',
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
        says: `The registry has backup ${backupId}, and the bucket has no manifest of it: it cannot be restored.`,
      }),
    );
  return [...unknown, ...lost];
}

/** Statuses of records whose backup may have been completed since. */
const UNFINISHED: readonly RegisteredBackup['status'][] = ['running', 'aborted'];

function isUnrecorded(backup: StoredBackup, record: RegisteredBackup | undefined, now: Date): boolean {
  const { completedAt } = backup;
  if (completedAt === null || expiryOf(backup, completedAt) <= now) return false;
  if (record === undefined) return true;
  return UNFINISHED.includes(record.status) && now.getTime() - completedAt.getTime() > FINISHING_MS;
}
