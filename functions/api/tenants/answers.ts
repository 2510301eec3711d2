/**
 * The answers of the operators' routes, as schemas for the API's document. The compiler compares each with the type that its
 * handler answers.
 */

import * as z from 'zod/mini';
import { DATABASE_SIZES } from '../../contracts/database-size.ts';
import type { SignedCertificate } from '../../contracts/erasure-certificate.ts';
import type { FleetOverview } from '../../costs/fleet-overview.ts';
import type { TenantAdvice } from '../../costs/tenant-advice.ts';
import type { TenantCosts } from '../../costs/tenant-costs.ts';
import { component, pageOf } from '../../http/openapi/component.ts';
import { memberRole } from '../../http/user-schemas.ts';
import type { DryRun } from '../../moves/dry-run.ts';
import type { AlertView } from '../../registry/alerts.ts';
import type { BackupView, BackupWindow } from '../../registry/backups.ts';
import type { CellView } from '../../registry/cells.ts';
import type { CredentialRotationView } from '../../registry/credential-rotations.ts';
import type { PromotionDecision } from '../../registry/decisions.ts';
import type { ExportView } from '../../registry/exports.ts';
import type { RotationView } from '../../registry/field-rotations.ts';
import type { MoveView } from '../../registry/moves.ts';
import type { OffboardingView } from '../../registry/offboardings.ts';
import type { Offer } from '../../registry/offers.ts';
import type { RestoreView } from '../../registry/restores.ts';
import type { ListedRollout, RolloutView, TargetCounts, TargetView } from '../../registry/rollouts.ts';
import type { TenantRecord } from '../../registry/tenant-record.ts';
import type { TenantUser } from '../../registry/tenant-users.ts';
import type { UsageSample } from '../../registry/usage.ts';
import { DATA_KINDS, type ResidencyReport, type ResidentData } from '../../residency/residency-report.ts';
import type { RebalancingDraft } from './draft-rebalancing.ts';

const id = z.uuid();
const time = z.iso.datetime();
const orNull = z.nullable;
const anyObject = z.record(z.string(), z.unknown());

const tier = z.enum(['starter', 'business', 'enterprise']);
const isolationModel = z.enum(['shared', 'schema', 'dedicated']);
const databaseSize = z.enum(DATABASE_SIZES);
const runStatus = z.enum(['running', 'succeeded', 'failed', 'aborted']);

/** What everything that a workflow works on has. */
const run = {
  status: runStatus,
  phase: z.string(),
  reason: orNull(z.string()),
  executionArn: orNull(z.string()),
  startedBy: z.string(),
  startedAt: time,
  finishedAt: orNull(time),
};

export const tenant = component(
  'Tenant',
  z.object({
    tenantId: id,
    name: z.string(),
    slug: z.string(),
    tier,
    isolationModel,
    status: z.enum([
      'provisioning',
      'active',
      'suspended',
      'failed',
      'offboarding',
      'offboarded',
      'arriving',
      'elsewhere',
    ]),
    reason: orNull(z.string()),
    dataResidency: z.string(),
    complianceRequirements: z.array(z.string()),
    billingEmail: orNull(z.string()),
    maxUsers: orNull(z.int()),
    maxStorageGb: orNull(z.int()),
    requestRate: orNull(z.int()),
    requestBurst: orNull(z.int()),
    features: anyObject,
    monthlyRevenue: orNull(z.number()),
    subscriptionEndDate: orNull(z.iso.date()),
    legalHold: orNull(z.string()),
    region: z.string(),
    apiUrl: orNull(z.string()),
    cellId: orNull(z.string()),
    databaseSize: orNull(databaseSize),
    epoch: orNull(z.int()),
    executionArn: orNull(z.string()),
    cloneOf: z.exactOptional(id),
    restoreFrom: z.exactOptional(id),
    createdAt: time,
    updatedAt: time,
  }) satisfies z.ZodMiniType<TenantRecord>,
);
export const tenantPage = pageOf('Tenant', tenant);

export const user = component(
  'TenantUser',
  z.object({
    userId: id,
    tenantId: id,
    email: z.string(),
    role: memberRole,
    isActive: z.boolean(),
    createdAt: time,
    lastLoginAt: orNull(time),
  }) satisfies z.ZodMiniType<TenantUser>,
);
export const userPage = pageOf('TenantUser', user);

const location = component(
  'Location',
  z.object({
    isolationModel,
    cellId: orNull(z.string()),
    region: z.string(),
    databaseSize: z.exactOptional(databaseSize),
  }),
);
const plannedHop = { kind: z.enum(['reshape', 'relocate']), from: location, to: location };

const hop = component(
  'MoveHop',
  z.looseObject({
    hop: z.int(),
    ...plannedHop,
    state: z.string(),
  }),
);

const phase = component(
  'MovePhase',
  z.looseObject({
    hop: z.int(),
    name: z.string(),
    status: z.enum(['running', 'done']),
    startedAt: time,
    finishedAt: orNull(time),
    rowsDone: orNull(z.number()),
    rowsTotal: orNull(z.number()),
    bytesDone: orNull(z.number()),
    bytesTotal: orNull(z.number()),
    lagBytes: orNull(z.number()),
    pauseMs: orNull(z.number()),
  }),
);

const report = component(
  'MoveReport',
  z.looseObject({
    writePauseMs: z.number(),
    rows: z.number(),
    bytes: z.number(),
    seconds: z.number(),
    retriedRequests: z.number(),
    followUp: z.exactOptional(z.object({ region: z.string(), executionArn: z.string() })),
  }),
);

const movement = {
  tenantId: id,
  ...run,
  plan: z.array(hop),
  phases: z.array(phase),
  currentPauseMs: orNull(z.number()),
  report: orNull(report),
  abortRequestedAt: orNull(time),
};

export const move = component(
  'Move',
  z.object({
    moveId: id,
    ...movement,
    target: z.object({
      tier: z.exactOptional(z.string()),
      cell: z.exactOptional(z.string()),
      residency: z.exactOptional(z.string()),
      size: z.exactOptional(z.string()),
    }),
    force: z.boolean(),
  }) satisfies z.ZodMiniType<MoveView>,
);
export const movePage = pageOf('Move', move);

export const dryRun = component(
  'MoveDryRun',
  z.object({
    dryRun: z.literal(true),
    plan: z.array(z.looseObject(plannedHop)),
    sizes: z.object({
      rows: z.number(),
      bytes: z.number(),
      activeEmployees: z.number(),
      tables: z.array(
        z.object({
          name: z.string(),
          rows: z.number(),
          bytes: z.number(),
          estimated: z.exactOptional(z.boolean()),
        }),
      ),
    }),
    estimate: orNull(z.object({ seconds: z.number(), writePauseMs: z.number() })),
    forbidden: z.array(
      z.object({
        rule: z.enum([
          'status',
          'moving',
          'credentials',
          'mismatch',
          'nothing-to-move',
          'residency',
          'compliance',
          'cell',
          'size',
          'users',
          'storage',
          'name',
        ]),
        detail: z.string(),
      }),
    ),
  }) satisfies z.ZodMiniType<Omit<DryRun, 'plan'>>,
);

export const restore = component(
  'Restore',
  z.object({
    restoreId: id,
    mode: z.enum(['replace', 'clone', 'undo']),
    backupId: orNull(id),
    at: orNull(time),
    undoes: orNull(id),
    cloneOf: orNull(id),
    mask: z.boolean(),
    ...movement,
    discarded: orNull(
      z.object({
        writes: z.int(),
        latest: z.array(
          z.object({
            at: time,
            actor: orNull(z.string()),
            action: z.string(),
            resourceType: z.string(),
            resourceId: orNull(id),
          }),
        ),
      }),
    ),
    canBeUndone: z.boolean(),
  }) satisfies z.ZodMiniType<RestoreView>,
);
export const restorePage = pageOf('Restore', restore);

const drill = component(
  'BackupDrill',
  z.object({ status: z.enum(['passed', 'failed']), at: time, reason: z.exactOptional(z.string()) }),
);
const progress = z.object({
  partsDone: z.int(),
  partsTotal: z.int(),
  rowsDone: z.int(),
  bytesDone: z.int(),
});

export const backup = component(
  'Backup',
  z.object({
    backupId: id,
    tenantId: id,
    region: z.string(),
    tier,
    isolationModel,
    ...run,
    progress,
    rows: orNull(z.int()),
    bytes: orNull(z.int()),
    lastDrill: orNull(drill),
    snapshotAt: orNull(time),
    expiresAt: time,
  }) satisfies z.ZodMiniType<BackupView>,
);

/** A page with what the tenant's tier promises. */
export const backupPage = component(
  'BackupPage',
  z.object({
    items: z.array(backup),
    nextCursor: orNull(z.string()),
    policy: z.object({
      tier,
      every: z.literal('day'),
      continuous: z.boolean(),
      retentionDays: z.int(),
      pointInTime: z.boolean(),
      secondRegion: z.enum(['always', 'optional', 'never']),
    }),
    window: orNull(z.object({ from: time, to: time }) satisfies z.ZodMiniType<BackupWindow>),
    lastDrill: orNull(drill),
  }),
);

const exportFields = {
  exportId: id,
  tenantId: id,
  region: z.string(),
  ...run,
  progress,
  backupId: orNull(id),
  rows: orNull(z.int()),
  bytes: orNull(z.int()),
  sha256: orNull(z.string()),
  snapshotAt: orNull(time),
  expiresAt: time,
};

export const tenantExport = component('Export', z.object(exportFields) satisfies z.ZodMiniType<ExportView>);
export const exportPage = pageOf('Export', tenantExport);
/** With the link to its archive. */
export const linkedExport = component(
  'LinkedExport',
  z.object({ ...exportFields, url: orNull(z.string()), urlExpiresAt: orNull(time) }),
);

export const cell = component(
  'Cell',
  z.object({
    cellId: z.string(),
    region: z.string(),
    dataResidency: z.string(),
    status: z.enum(['active', 'full', 'draining']),
    sharedTenants: z.int(),
    schemaTenants: z.int(),
    maxSchemaTenants: z.int(),
    utilisation: orNull(
      component(
        'CellUtilisation',
        z.object({
          databaseBytes: orNull(z.number()),
          connections: orNull(z.int()),
          maxConnections: orNull(z.int()),
          replicationSlots: orNull(z.int()),
          maxReplicationSlots: orNull(z.int()),
          databaseLoad: orNull(z.number()),
          proxySecrets: orNull(z.int()),
          maxProxySecrets: z.int(),
          observedAt: time,
        }),
      ),
    ),
  }) satisfies z.ZodMiniType<CellView>,
);
export const cellPage = pageOf('Cell', cell);

export const rebalancingPlan = component(
  'RebalancingPlan',
  z.object({
    cellId: z.string(),
    exceeded: z.array(
      component(
        'CellUse',
        z.object({
          resource: z.enum(['schemas', 'proxySecrets', 'databaseBytes', 'connections', 'replicationSlots']),
          used: z.number(),
          max: z.number(),
          share: z.number(),
        }),
      ),
    ),
    moves: z.array(
      component(
        'ProposedMove',
        z.object({
          tenantId: id,
          slug: z.string(),
          reason: z.string(),
          storageBytes: orNull(z.number()),
          targetCell: z.string(),
          newCell: z.boolean(),
          request: z.object({ targetCell: z.string(), dryRun: z.literal(true) }),
          estimate: orNull(z.object({ seconds: z.number(), writePauseMs: z.number() })),
        }),
      ),
    ),
    newCells: z.array(z.string()),
  }) satisfies z.ZodMiniType<RebalancingDraft>,
);

export const alert = component(
  'Alert',
  z.object({
    alertId: id,
    kind: z.string(),
    severity: z.enum(['warning', 'critical']),
    status: z.enum(['open', 'acknowledged', 'resolved']),
    region: z.string(),
    tenantId: orNull(id),
    cellId: orNull(z.string()),
    summary: z.string(),
    details: anyObject,
    openedAt: time,
    lastSeenAt: time,
    acknowledgedAt: orNull(time),
    acknowledgedBy: orNull(z.string()),
    resolvedAt: orNull(time),
  }) satisfies z.ZodMiniType<AlertView>,
);
export const alertPage = pageOf('Alert', alert);

const counts = component(
  'RolloutCounts',
  z.object({
    total: z.int(),
    pending: z.int(),
    deferred: z.int(),
    succeeded: z.int(),
    failed: z.int(),
  }) satisfies z.ZodMiniType<TargetCounts>,
);
const target = component(
  'RolloutTarget',
  z.object({
    isolationModel,
    cellId: orNull(z.string()),
    tenantId: orNull(id),
    slug: orNull(z.string()),
    reason: orNull(z.string()),
    attempts: z.int(),
  }) satisfies z.ZodMiniType<TargetView>,
);
const rolloutFields = {
  rolloutId: id,
  region: z.string(),
  ...run,
  schemaVersion: z.int(),
  tenancyVersion: z.int(),
  except: z.array(z.string()),
  targets: counts,
  models: z.object({ shared: counts, schema: counts, dedicated: counts }),
};

export const listedRollout = component(
  'ListedRollout',
  z.object(rolloutFields) satisfies z.ZodMiniType<ListedRollout>,
);
export const rolloutPage = pageOf('ListedRollout', listedRollout);
export const rollout = component(
  'Rollout',
  z.object({
    ...rolloutFields,
    failed: z.array(target),
    deferred: z.array(target),
  }) satisfies z.ZodMiniType<RolloutView>,
);

const brokenRule = {
  rule: z.enum(['residency', 'compliance', 'tier']),
  detail: z.string(),
};
export const residency = component(
  'ResidencyReport',
  z.object({
    tenantId: id,
    slug: z.string(),
    dataResidency: z.string(),
    complianceRequirements: z.array(z.string()),
    region: z.string(),
    jurisdiction: z.string(),
    data: z.array(
      component(
        'ResidentData',
        z.object({
          kind: z.enum(DATA_KINDS),
          where: z.string(),
          region: orNull(z.string()),
          awsRegion: z.string(),
          zones: z.array(z.string()),
          keptDays: orNull(z.number()),
          until: orNull(time),
          rules: z.array(brokenRule.rule),
          violates: z.array(brokenRule.rule),
        }) satisfies z.ZodMiniType<ResidentData>,
      ),
    ),
    rules: z.array(z.object({ rule: brokenRule.rule, demands: z.string() })),
    violations: z.array(z.object(brokenRule)),
    wouldViolate: z.array(z.object({ change: z.string(), ...brokenRule })),
  }) satisfies z.ZodMiniType<ResidencyReport>,
);

export const rotation = component(
  'Rotation',
  z.object({
    rotationId: id,
    tenantId: id,
    region: z.string(),
    cause: z.enum(['key', 'age', 'request']),
    status: z.enum(['running', 'succeeded', 'failed']),
    reason: orNull(z.string()),
    keyArn: orNull(z.string()),
    valuesDone: z.int(),
    valuesDamaged: z.int(),
    startedBy: z.string(),
    startedAt: time,
    finishedAt: orNull(time),
  }) satisfies z.ZodMiniType<RotationView>,
);
export const rotationPage = pageOf('Rotation', rotation);

export const credentialRotation = component(
  'CredentialRotation',
  z.object({
    credentialRotationId: id,
    kind: z.enum(['tenant', 'starter', 'owner', 'registry']),
    region: z.string(),
    tenantId: orNull(id),
    cellId: orNull(z.string()),
    roleName: z.string(),
    now: z.boolean(),
    ...run,
  }) satisfies z.ZodMiniType<CredentialRotationView>,
);
export const credentialRotationPage = pageOf('CredentialRotation', credentialRotation);

export const usageSample = component(
  'UsageSample',
  z.object({
    tenantId: id,
    sampledOn: z.iso.date(),
    activeUsers: orNull(z.int()),
    activeEmployees: orNull(z.int()),
    userCount: orNull(z.int()),
    assessmentCount: orNull(z.int()),
    storageBytes: orNull(z.int()),
    tableBytes: orNull(z.int()),
    indexBytes: orNull(z.int()),
    toastBytes: orNull(z.int()),
    databaseSizeBytes: orNull(z.int()),
    rowOperations: orNull(z.int()),
    monthlyRevenue: orNull(z.number()),
    sampledAt: orNull(time),
    requests: orNull(z.int()),
    errors: orNull(z.int()),
    requestMs: orNull(z.int()),
    databaseMs: orNull(z.int()),
    bytesIn: orNull(z.int()),
    bytesOut: orNull(z.int()),
    actingUsers: orNull(z.int()),
    movedBytes: orNull(z.int()),
    backedUpBytes: orNull(z.int()),
    keptBackupBytes: orNull(z.int()),
  }) satisfies z.ZodMiniType<UsageSample>,
);
export const usagePage = pageOf('UsageSample', usageSample);

const usd = z.number();
const margin = orNull(z.object({ amount: usd, share: orNull(z.number()) }));

export const tenantCosts = component(
  'TenantCosts',
  z.object({
    tenantId: id,
    from: z.iso.date(),
    to: z.iso.date(),
    days: z.int(),
    currency: z.literal('USD'),
    pricesAsOf: z.iso.date(),
    total: usd,
    monthly: usd,
    lines: z.array(
      z.object({
        item: z.string(),
        basis: z.enum([
          'database-time',
          'request-time',
          'requests',
          'storage',
          'bytes-out',
          'bytes-moved',
          'backups',
          'users',
          'tenants',
          'rest',
        ]),
        source: z.enum(['configured', 'measured', 'assumed']),
        cellId: orNull(z.string()),
        amount: usd,
      }),
    ),
    priceBand: z.object({ from: usd, to: usd }),
    bandMargin: z.object({ from: z.number(), to: z.number() }),
    monthlyRevenue: orNull(usd),
    margin,
    bill: usd,
  }) satisfies z.ZodMiniType<TenantCosts>,
);

export const tenantAdvice = component(
  'TenantAdvice',
  z.object({
    tenantId: id,
    asOf: time,
    from: z.iso.date(),
    to: z.iso.date(),
    items: z.array(
      z.object({
        kind: z.enum(['tier', 'capacity', 'reservation', 'storage']),
        action: z.enum(['keep', 'change', 'unknown']),
        recommended: orNull(z.string()),
        reason: z.string(),
        figures: z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
      }),
    ),
  }) satisfies z.ZodMiniType<TenantAdvice>,
);

const fleetSums = {
  tenants: z.int(),
  requests: z.int(),
  databaseMs: z.int(),
  storageBytes: z.int(),
  users: z.int(),
  cost: usd,
  monthlyCost: usd,
  monthlyRevenue: usd,
  tenantsWithoutRevenue: z.int(),
  margin,
};

export const fleet = component(
  'Fleet',
  z.object({
    asOf: time,
    from: z.iso.date(),
    to: z.iso.date(),
    currency: z.literal('USD'),
    regions: z.array(
      z.object({
        region: z.string(),
        pricesAsOf: z.iso.date(),
        bill: usd,
        unallocated: usd,
        measuredUntil: orNull(time),
      }),
    ),
    groups: z.array(z.object({ region: z.string(), cellId: orNull(z.string()), tier, ...fleetSums })),
    totals: z.object(fleetSums),
  }) satisfies z.ZodMiniType<FleetOverview>,
);

const reasons = z.array(z.object({ rule: z.string(), detail: z.string() }));
const paidTier = z.enum(['business', 'enterprise']);

export const decision = component(
  'PromotionDecision',
  z.object({
    decisionId: id,
    tenantId: id,
    decision: z.enum(['keep', 'promote', 'defer', 'offer']),
    targetTier: orNull(paidTier),
    reasons,
    figures: anyObject,
    moveId: orNull(id),
    offerId: orNull(id),
    decidedAt: time,
  }) satisfies z.ZodMiniType<PromotionDecision>,
);
export const decisionPage = pageOf('PromotionDecision', decision);

export const offer = component(
  'Offer',
  z.object({
    offerId: id,
    tenantId: id,
    targetTier: paidTier,
    status: z.enum(['open', 'accepted', 'declined', 'withdrawn']),
    reasons,
    figures: anyObject,
    moveId: orNull(id),
    decidedBy: orNull(z.string()),
    notifiedAt: orNull(time),
    createdAt: time,
    updatedAt: time,
  }) satisfies z.ZodMiniType<Offer>,
);
export const offerPage = pageOf('Offer', offer);

export const offboarding = component(
  'Offboarding',
  z.object({
    offboardingId: id,
    tenantId: id,
    ...run,
    cause: z.enum(['request', 'subscription']),
    exportId: orNull(id),
    graceUntil: orNull(time),
    canBeCancelled: z.boolean(),
  }) satisfies z.ZodMiniType<OffboardingView>,
);

const erasedStore = component(
  'ErasedStore',
  z.object({
    store: z.string(),
    region: z.string(),
    removed: z.array(z.object({ what: z.string(), count: z.int() })),
    foundAt: time,
    verifiedAt: time,
    verifiedBy: z.string(),
  }),
);

const keptStore = component(
  'KeptStore',
  z.object({
    store: z.string(),
    region: z.string(),
    what: z.string(),
    count: orNull(z.int()),
    until: orNull(time),
    why: z.string(),
  }),
);

export const erasureCertificate = component(
  'ErasureCertificate',
  z.object({
    certificate: z.object({
      format: z.literal('strata-erasure-certificate'),
      version: z.literal(1),
      certificateId: id,
      tenantId: id,
      slug: z.string(),
      region: z.string(),
      cause: z.enum(['request', 'subscription']),
      requestedAt: time,
      graceUntil: orNull(time),
      erasureBegunAt: time,
      issuedAt: time,
      finalExport: orNull(
        z.object({
          exportId: id,
          snapshotAt: orNull(time),
          rows: orNull(z.int()),
          bytes: orNull(z.int()),
          sha256: orNull(z.string()),
        }),
      ),
      erased: z.array(erasedStore),
      kept: z.array(keptStore),
    }),
    signature: z.object({
      algorithm: z.literal('RSASSA_PSS_SHA_256'),
      keyId: z.string(),
      value: z.string(),
    }),
    publicKey: z.string(),
    publicKeySha256: z.string(),
  }) satisfies z.ZodMiniType<SignedCertificate>,
);
