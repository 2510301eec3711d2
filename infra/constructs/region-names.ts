import type { StrataConfig } from '../config.ts';

/** Names that derive from the configuration: other regions refer to resources only by these. */

/** A stack that each region has once. */
export const regionalStackName = (
  regionKey: string,
  part: 'network' | 'control-plane' | 'api' | 'backups' | 'backup-copies' | 'operations' | 'fleet',
): string => `Strata-${regionKey}-${part}`;

/** The stack of a cell. */
export const cellStackName = (regionKey: string, cellId: string): string =>
  `Strata-${regionKey}-cell-${cellId}`;

/** The cluster of a region's registry; the first region of the configuration is home. */
export const registryClusterName = (config: StrataConfig, regionKey: string): string =>
  regionKey === config.regions[0]?.key ? 'strata-registry' : `strata-registry-${regionKey}`;

/** The role with which CloudFormation launches dedicated databases of a region. Role names are unique in an account. */
export const launchRoleName = (regionKey: string): string => `strata-${regionKey}-dedicated-launch`;

/** What a region's second bucket is called: buckets are named once in the world, hence the account. */
export const backupCopiesBucketName = (regionKey: string, account: string): string =>
  `strata-${regionKey}-backup-copies-${account}`;

/** The key that encrypts it: an alias, because a key's id is not known beforehand. */
export const backupCopiesKeyAlias = (regionKey: string): string => `alias/strata-${regionKey}-backup-copies`;
