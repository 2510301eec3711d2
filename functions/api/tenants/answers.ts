/**
 * The answers of the operators' routes, as schemas for the API's document. The compiler compares each with the type that its
 * handler answers.
 */

import * as z from 'zod/mini';
import { DATABASE_SIZES } from '../../contracts/database-size.ts';
import type { SignedCertificate } from '../../contracts/erasure-certificate.ts';
import { component, pageOf } from '../../http/openapi/component.ts';
import { memberRole } from '../../http/user-schemas.ts';
import type { DryRun } from '../../moves/dry-run.ts';
import type { BackupView, BackupWindow } from '../../registry/backups.ts';
import type { CellView } from '../../registry/cells.ts';
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
  }) satisfies z.ZodMiniType<CellView>,
);
export const cellPage = pageOf('Cell', cell);

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

export const usageSample = component(
  'UsageSample',
  z.object({
    tenantId: id,
    sampledOn: z.iso.date(),
    activeUsers: z.int(),
    activeEmployees: z.int(),
    userCount: orNull(z.int()),
    assessmentCount: orNull(z.int()),
    storageBytes: orNull(z.int()),
    databaseSizeBytes: orNull(z.int()),
    rowOperations: orNull(z.int()),
    monthlyRevenue: orNull(z.number()),
    sampledAt: time,
  }) satisfies z.ZodMiniType<UsageSample>,
);
export const usagePage = pageOf('UsageSample', usageSample);

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
