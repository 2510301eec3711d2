import {
  type CellConfig,
  config,
  knownRegions,
  type RegionConfig,
  type StrataConfig,
  smallCache,
} from './config.ts';
import { ConfigError, validateConfig } from './validate-config.ts';

/**
 * The configuration with overrides from the environment, for trials:
 * - `DB_PIPELINE`: `on` or `off`.
 * - `REPLICATION_TLS`, `MOVE_MAX_PAUSE_MS`, `MOVE_DUTY_CYCLE`: `moves.replicationTls`, `moves.maxPauseMs`,
 *   `moves.dutyCycle`.
 * - `OFFBOARDING_GRACE_MINUTES`: `offboarding.graceMinutes`.
 * - `STRATA_REGIONS`: the regions, home first, such as `us,eu`.
 * - `STRATA_CACHE`: `on` gives a small cache to each cell that has none; `off` leaves all of them out.
 * - `STRATA_CELLS`: how many cells a region has, such as `us=2` or `us=2,eu=3`; further cells are like its first.
 * @throws {ConfigError}
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): StrataConfig {
  const { DB_PIPELINE: pipeline, STRATA_CELLS: cells, STRATA_REGIONS: keys } = environment;
  const { REPLICATION_TLS: replicationTls, MOVE_MAX_PAUSE_MS: maxPauseMs } = environment;
  const { MOVE_DUTY_CYCLE: dutyCycle, STRATA_CACHE: cache } = environment;
  const { OFFBOARDING_GRACE_MINUTES: graceMinutes } = environment;
  if (pipeline && pipeline !== 'on' && pipeline !== 'off') {
    throw new ConfigError([`DB_PIPELINE is "${pipeline}", expected "on" or "off"`]);
  }
  if (cache && cache !== 'on' && cache !== 'off') {
    throw new ConfigError([`STRATA_CACHE is "${cache}", expected "on" or "off"`]);
  }
  const regions = keys ? namedRegions(keys) : config.regions;
  return validateConfig({
    ...config,
    regions: withCaches(cells ? withCells(regions, cells) : regions, cache),
    moves: {
      ...config.moves,
      ...(replicationTls ? { replicationTls } : {}),
      ...(maxPauseMs ? { maxPauseMs: Number(maxPauseMs) } : {}),
      ...(dutyCycle ? { dutyCycle: Number(dutyCycle) } : {}),
    },
    offboarding: {
      ...config.offboarding,
      ...(graceMinutes ? { graceMinutes: Number(graceMinutes) } : {}),
    },
    ...(pipeline ? { databasePipeline: pipeline as 'on' | 'off' } : {}),
  });
}

/** The regions of those keys, from the configuration or from Strata's known regions. @throws {ConfigError} */
function namedRegions(wish: string): RegionConfig[] {
  const known = new Map<string, RegionConfig>(Object.entries(knownRegions));
  for (const region of config.regions) known.set(region.key, region);
  const keys = wish.split(',').map((key) => key.trim());
  const regions = keys.map((key) => known.get(key)).filter((region) => region !== undefined);
  if (regions.length < keys.length || new Set(keys).size < keys.length) {
    throw new ConfigError([
      `STRATA_REGIONS is "${wish}", expected some of ${[...known.keys()].join(', ')}, each once and home first, such as us,eu`,
    ]);
  }
  return regions;
}

function withCaches(regions: readonly RegionConfig[], wish: string | undefined): readonly RegionConfig[] {
  if (!wish) return regions;
  const changed = ({ cache, ...rest }: CellConfig): CellConfig =>
    wish === 'on' ? { ...rest, cache: cache ?? smallCache } : rest;
  return regions.map((region) => ({ ...region, cells: region.cells.map(changed) }));
}

/** The regions with as many cells each as `wish` says. @throws {ConfigError} */
function withCells(regions: readonly RegionConfig[], wish: string): RegionConfig[] {
  const known = regions.map(({ key }) => key);
  const counts = new Map<string, number>();
  for (const part of wish.split(',')) {
    const [, key = '', count] = /^(\w+)=([1-9])$/.exec(part.trim()) ?? [];
    if (!known.includes(key)) {
      throw new ConfigError([
        `STRATA_CELLS is "${wish}", expected a number from 1 to 9 for some of ${known.join(', ')}, such as us=2`,
      ]);
    }
    counts.set(key, Number(count));
  }
  return regions.map((region) => {
    const count = counts.get(region.key);
    if (count === undefined) return region;
    const [first] = region.cells as [CellConfig, ...CellConfig[]];
    const cells = Array.from({ length: count }, (_, index) => {
      const id = `${region.key}-${index + 1}`;
      return region.cells.find((existing) => existing.id === id) ?? { ...first, id };
    });
    return { ...region, cells };
  });
}
