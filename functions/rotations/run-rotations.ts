/**
 * One run of the region's worker: begins the rotations that are due, and continues all that are running, until its time is
 * over. Runs may overlap and be killed at any point: leases keep them apart, and pages are compared and set.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { generateDataKey } from '../aws/data-keys.ts';
import { KeyUnavailable } from '../aws/errors.ts';
import { NotPlaced, TenantElsewhere } from '../placement/errors.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { provideFieldKey } from '../places/field-key.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { EncryptedValueDamaged } from '../tenant-data/errors.ts';
import type { FieldCipher } from '../tenant-data/field-cipher.ts';
import { rotatePage } from './rotate-values.ts';
import {
  endRotation,
  insertRotation,
  leaseRotation,
  listDueTenants,
  listFreeRotations,
  noteProgress,
  type RegionKeys,
  type Rotation,
} from './rotation-records.ts';

export interface RunRotationsOptions extends RegionKeys {
  readonly access: (tenantId: string) => TenantAccess;
  readonly cipher: FieldCipher;
  /** On `performance.now()`'s clock: no page is begun afterwards. */
  readonly deadline: number;
  /**
   * A rotation under another KMS key looks for stale values once more when it is that old, in seconds: until then
   * requests that began before the tenant's move may write under the former key.
   */
  readonly settleSeconds?: number;
  readonly rowsPerPage?: number;
  /** Only this tenant. */
  readonly tenantId?: string | undefined;
  readonly onDamaged?: (tenantId: string, error: EncryptedValueDamaged) => void;
  readonly onFailure?: (tenantId: string, error: unknown) => void;
}

export interface RotationRun {
  /** Rotations that were completed. */
  readonly completed: number;
  /** Rotations that the next run continues. */
  readonly continued: number;
  readonly values: number;
}

const TENANTS_AT_ONCE = 100;
const SETTLE_SECONDS = 60;
/** A pause is as long as the page before it, and at most this long, in ms: half of the time is left for requests. */
const LONGEST_PAUSE_MS = 200;

/** @throws {RegistryError} and KMS's errors from making a tenant's key; failures of single tenants are reported only. */
export async function runRotations(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  options: RunRotationsOptions,
): Promise<RotationRun> {
  const { region, regionKeyArn, copiedTo, tenantId, deadline, onFailure } = options;
  await beginDue(registry, options);
  const run = { completed: 0, continued: 0, values: 0 };
  const free = await listFreeRotations(registry, { region, tenantId, limit: 2 * TENANTS_AT_ONCE });
  for (const rotationId of free) {
    // Each run gets one page further at least.
    if (run.completed + run.continued > 0 && performance.now() > deadline) break;
    const rotation = await leaseRotation(registry, rotationId, { region, regionKeyArn, copiedTo });
    if (!rotation) continue;
    try {
      const { ended, values } = await rotate(registry, rotation, options);
      run[ended ? 'completed' : 'continued'] += 1;
      run.values += values;
    } catch (error) {
      run.continued += 1;
      onFailure?.(rotation.tenantId, error);
      if (error instanceof KeyUnavailable) break;
    }
  }
  return run;
}

async function beginDue(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  { region, regionKeyArn, copiedTo, tenantId, deadline, onFailure }: RunRotationsOptions,
): Promise<void> {
  const keys = { region, regionKeyArn, copiedTo };
  const due = await listDueTenants(registry, { ...keys, tenantId, limit: TENANTS_AT_ONCE });
  for (const tenant of due) {
    try {
      // It got its database, or its key, from an earlier release.
      const keyArn = tenant.lacksKey
        ? await provideUsableKey(registry, tenant.tenantId, copiedTo !== undefined)
        : tenant.keyArn;
      const startedBy = 'field-rotation';
      await insertRotation(registry, { ...tenant, keyArn, rotationId: randomUUID(), region, startedBy });
    } catch (error) {
      onFailure?.(tenant.tenantId, error);
    }
    if (performance.now() > deadline) return;
  }
}

function provideUsableKey(
  registry: Pick<DataApi, 'query'>,
  tenantId: string,
  toBeCopied: boolean,
): Promise<string> {
  return provideFieldKey(registry, tenantId, {
    toBeCopied,
    requireUsable: async (keyArn) => {
      const { plaintext } = await generateDataKey(keyArn, tenantId);
      plaintext.fill(0);
    },
  });
}

/** Works on a leased rotation. */
async function rotate(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  rotation: Rotation,
  options: RunRotationsOptions,
): Promise<{ readonly ended: boolean; readonly values: number }> {
  const { rotationId, tenantId, current, cause, staleBefore } = rotation;
  const { cipher, deadline, settleSeconds = SETTLE_SECONDS, rowsPerPage, onDamaged } = options;
  if (!current) {
    await endRotation(registry, rotation, 'The tenant is no longer in this region.');
    return { ended: true, values: 0 };
  }
  const { keyArn, epoch } = current;
  // The tenant has moved, or has another key, since the last page: begin again.
  let after = keyArn === rotation.keyArn && epoch === rotation.epoch ? rotation.after : undefined;
  const tenant = options.access(tenantId);
  let values = 0;
  try {
    for (;;) {
      const began = performance.now();
      const page = await rotatePage(tenant, {
        cipher,
        keyArn,
        staleBefore,
        after,
        ...(rowsPerPage === undefined ? {} : { rows: rowsPerPage }),
        onDamaged: (error) => onDamaged?.(tenantId, error),
      });
      values += page.done;
      after = page.last;
      const timeIsOver = performance.now() > deadline;
      const progress = { after, done: page.done, damaged: page.damaged, keyArn, epoch };
      if (after === undefined) {
        await noteProgress(registry, rotationId, progress, { release: true });
        if (cause === 'key' && rotation.ageSeconds < settleSeconds) return { ended: false, values };
        await endRotation(registry, rotation);
        return { ended: true, values };
      }
      await noteProgress(registry, rotationId, progress, { release: timeIsOver });
      if (timeIsOver) return { ended: false, values };
      await delay(Math.min(performance.now() - began, LONGEST_PAUSE_MS));
    }
  } catch (error) {
    if (!(error instanceof TenantElsewhere || error instanceof NotPlaced)) {
      // The next run continues behind the last page. If the registry fails too, the lease runs out.
      const kept = { after, done: 0, damaged: 0, keyArn, epoch };
      await noteProgress(registry, rotationId, kept, { release: true }).catch(() => {});
      throw error;
    }
    await endRotation(registry, rotation, 'The tenant is no longer in this region.');
    return { ended: true, values };
  }
}
