/** Where regions of AWS are by law, and what a report of a tenant's residency must know of the configuration. */
import type { DatabaseSize } from './database-size.ts';

/**
 * Regions of AWS by the jurisdiction in which they are, as far as several are in one. The European Union counts as one.
 * London and Zurich are not in it, in spite of their names.
 */
const JURISDICTIONS: Readonly<Record<string, readonly string[]>> = {
  'the United States': ['us-east-1', 'us-east-2', 'us-west-1', 'us-west-2', 'us-gov-east-1', 'us-gov-west-1'],
  'the European Union': [
    'eu-west-1',
    'eu-west-3',
    'eu-central-1',
    'eu-north-1',
    'eu-south-1',
    'eu-south-2',
    'eusc-de-east-1',
  ],
  Canada: ['ca-central-1', 'ca-west-1'],
  Australia: ['ap-southeast-2', 'ap-southeast-4'],
  Japan: ['ap-northeast-1', 'ap-northeast-3'],
  India: ['ap-south-1', 'ap-south-2'],
};

/** The jurisdiction of a region of AWS; a region that shares its jurisdiction with no other one stands for it. */
export function jurisdictionOf(awsRegion: string): string {
  const found = Object.entries(JURISDICTIONS).find(([, regions]) => regions.includes(awsRegion));
  return found?.[0] ?? awsRegion;
}

/** The configuration of one region. */
export interface ResidencyRegion {
  readonly awsRegion: string;
  readonly zones: readonly string[];
  /** The region of AWS that backups are copied to. */
  readonly secondRegion?: string;
  /** Some of its cells have a cache, for tenants of all tiers. */
  readonly hasCache: boolean;
  /** Readers of each cell by its id, and of each size of dedicated database. */
  readonly readers: Readonly<Record<string, number>>;
}

/** What the templates know and the registry does not; functions get it as JSON. */
export interface ResidencySettings {
  /** By key; the first is home. */
  readonly regions: Readonly<Record<string, ResidencyRegion>>;
  readonly logRetentionDays: number;
  /** Also Business tenants' backups are copied to the second region. */
  readonly copyBusiness: boolean;
  readonly moveGraceMinutes: number;
  readonly keepDedicatedDays: number;
  readonly undoHours: number;
}

/** The key of a size among a region's `readers`; ids of cells have another form. */
export const readersOfSize = (size: DatabaseSize): string => `size:${size}`;
