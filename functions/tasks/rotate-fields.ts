import * as z from 'zod';
import { KeyUnavailable } from '../aws/errors.ts';
import { logger } from '../aws/logger.ts';
import {
  type CommonEnvironment,
  type FieldKeyEnvironment,
  type RegionEnvironment,
  variable,
} from '../contracts/environments.ts';
import { ALERTS } from '../contracts/names.ts';
import { SchemaUpgrading } from '../database/errors.ts';
import { CredentialStore } from '../database/session/credentials.ts';
import { DatabasePools } from '../database/session/pools.ts';
import { isTransient } from '../database/transient-error.ts';
import { TenantUnavailable } from '../placement/errors.ts';
import { TenantDirectory } from '../placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../placement/tenant-router.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { copyKeys } from '../rotations/copy-keys.ts';
import { RotationsFailed } from '../rotations/errors.ts';
import { runRotations } from '../rotations/run-rotations.ts';
import { FieldCipher } from '../tenant-data/field-cipher.ts';

/** The schedule sends `{}`. Both are for operators: `tenantId` takes that tenant only. */
const event = z.object({ tenantId: z.uuid().optional(), settleSeconds: z.number().min(0).optional() });

/** A run works for so long: the schedule starts the next one after a minute. */
const RUN_MS = 45_000;
/** Connections are few, and each tenant is handled once. */
const POOL_CAP = 20;

/**
 * The task of the schedule `field-rotation`: copies keys to the second region, and encrypts fields of tenants again, as a
 * request of the tenant would.
 * @throws {RotationsFailed} at the end of the run, which raises the function's alarm.
 */
export const handler = async (input: unknown) => {
  const { tenantId, settleSeconds } = event.parse(input ?? {});
  const region = variable<RegionEnvironment>('REGION_KEY');
  const registry = registryFromEnvironment();
  const pools = new DatabasePools(new CredentialStore(), {
    cap: POOL_CAP,
    pipeline: variable<CommonEnvironment>('DB_PIPELINE') === 'on',
    onAlert: (message) => logger.critical(ALERTS.isolation, { reason: message }),
  });
  const router = new TenantRouter(new TenantDirectory(registry), pools, { regionKey: region });
  const failures: unknown[] = [];
  const deadline = performance.now() + RUN_MS;
  const { KEY_COPIES_REGION: copiedTo } = process.env;
  const regionKeyArn = variable<FieldKeyEnvironment>('FIELD_KEY_ARN');
  try {
    const onNotCopied = (id: string | undefined, error: unknown) => {
      failures.push(error);
      logger.error('a key was not copied', { tenantId: id, error: error as Error });
    };
    const keys =
      copiedTo === undefined
        ? 0
        : await copyKeys(registry, { region, regionKeyArn, copiedTo, deadline, onFailure: onNotCopied });
    const run = await runRotations(registry, {
      region,
      regionKeyArn,
      copiedTo,
      access: (id) => new TenantAccess(id, id, router),
      cipher: new FieldCipher(),
      deadline,
      tenantId,
      ...(settleSeconds === undefined ? {} : { settleSeconds }),
      onDamaged: (id, error) => logger.critical(ALERTS.isolation, { tenantId: id, reason: error.message }),
      onFailure: (id, error) => {
        failures.push(error);
        logger.error('fields were not encrypted again', { tenantId: id, error: error as Error });
      },
    });
    if (run.values > 0 || keys > 0 || failures.length > 0) {
      logger.info('field rotation', { ...run, keys, failures: failures.length });
    }
    const lasting = failures.filter(isLasting);
    if (lasting.length > 0) throw new RotationsFailed(lasting.length, { cause: lasting[0] });
    return { ...run, failures: failures.length };
  } finally {
    await pools.end();
  }
};

/** A tenant that is fenced or upgraded, or a database that is busy, is no reason for an alarm. A key that cannot be used is. */
function isLasting(error: unknown): boolean {
  if (error instanceof KeyUnavailable) return true;
  return !(isTransient(error) || error instanceof TenantUnavailable || error instanceof SchemaUpgrading);
}
