import type { RegionalRegistries } from '../registry/regional-registries.ts';

/** Where a registration stands among the regions. */
export interface RegistrationRegion {
  /** Of the region whose registry the tenant is written to. */
  readonly key: string;
  readonly registries: RegionalRegistries;
}

/** Home's key: the first region of the configuration. */
export function homeOf(registries: RegionalRegistries): string {
  return registries.keys[0] as string;
}
