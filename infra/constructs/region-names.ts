import type { StrataConfig } from '../config.ts';

/** Names that derive from the configuration: other regions refer to resources only by these. */

/** A stack that each region has once. */
export const regionalStackName = (
  regionKey: string,
  part: 'network' | 'control-plane' | 'api' | 'operations',
): string => `Strata-${regionKey}-${part}`;

/** The stack of a cell. */
export const cellStackName = (regionKey: string, cellId: string): string =>
  `Strata-${regionKey}-cell-${cellId}`;

/** The cluster of a region's registry; the first region of the configuration is home. */
export const registryClusterName = (config: StrataConfig, regionKey: string): string =>
  regionKey === config.regions[0]?.key ? 'strata-registry' : `strata-registry-${regionKey}`;

/** The role with which CloudFormation launches dedicated databases of a region. Role names are unique in an account. */
export const launchRoleName = (regionKey: string): string => `strata-${regionKey}-dedicated-launch`;
