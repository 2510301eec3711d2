import { DATABASE_SIZES } from '../../functions/contracts/database-size.ts';
import { type ResidencySettings, readersOfSize } from '../../functions/contracts/residency.ts';
import type { StrataConfig } from '../config.ts';

/** The configuration as the report of a tenant's residency needs it. */
export function residencySettings(config: StrataConfig): ResidencySettings {
  const { backups, moves } = config;
  const regions = config.regions.map((region) => {
    const second = backups.secondRegions?.[region.key];
    const readers = {
      ...Object.fromEntries(region.cells.map((cell) => [cell.id, cell.readers])),
      ...Object.fromEntries(
        DATABASE_SIZES.map((size) => [readersOfSize(size), region.dedicated.sizes[size].readers]),
      ),
    };
    const { awsRegion, availabilityZones: zones } = region;
    const hasCache = region.cells.some(({ cache }) => cache !== undefined);
    const known = { awsRegion, zones, readers, hasCache, ...(second ? { secondRegion: second } : {}) };
    return [region.key, known] as const;
  });
  return {
    regions: Object.fromEntries(regions),
    logRetentionDays: config.logRetentionDays,
    copyBusiness: backups.copyBusiness ?? false,
    moveGraceMinutes: moves.graceMinutes,
    keepDedicatedDays: moves.keepDedicated ?? 0,
    undoHours: backups.undoHours,
  };
}
