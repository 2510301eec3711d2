import type { StrataConfig } from '../config.ts';

/** Names that are functions of the configuration: other regions know what they name by nothing else. */

/** The stack of a region. */
export const regionStackName = (regionKey: string): string => `Strata-${regionKey}`;

/** The cluster of a region's registry; the first region of the configuration is home. */
export const registryClusterName = (config: StrataConfig, regionKey: string): string =>
  regionKey === config.regions[0]?.key ? 'strata-registry' : `strata-registry-${regionKey}`;

/** Database of every registry, and the secret of the role that writes to it. */
export const REGISTRY_DATABASE = 'registry';
export const REGISTRY_WRITER_SECRET = 'strata/registry/writer';
