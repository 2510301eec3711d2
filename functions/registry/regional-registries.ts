import { secretArnOf } from '../aws/secrets.ts';
import type { RegistryAddress } from '../contracts/environments.ts';
import { DataApi, registryFromEnvironment } from './data-api.ts';
import { UnknownRegion } from './errors.ts';

/** The registry of one region. */
export interface RegionalRegistry {
  /** Such as `us`. */
  readonly region: string;
  /** Such as `us-east-1`. */
  readonly awsRegion: string;
  readonly registry: DataApi;
}

/**
 * The registries of all regions of the configuration, in its order: home's is the first. Another region's is looked for
 * at first use, so a function that never looks further than its own pays nothing.
 */
export class RegionalRegistries {
  readonly own: DataApi;
  readonly ownKey: string;
  /** Keys of all regions, our own included. */
  readonly keys: readonly string[];
  readonly #registries: ReadonlyMap<string, RegionalRegistry>;

  /** @throws {UnknownRegion} our own is not among them. */
  constructor(ownKey: string, registries: readonly RegionalRegistry[]) {
    this.#registries = new Map(registries.map((one) => [one.region, one]));
    this.keys = [...this.#registries.keys()];
    this.ownKey = ownKey;
    this.own = this.of(ownKey);
  }

  /**
   * From REGISTRIES and REGION_KEY, and of our own registry what `registryFromEnvironment` reads. Without REGISTRIES
   * there is only our own.
   * @throws when a variable is missing.
   */
  static fromEnvironment(environment: NodeJS.ProcessEnv = process.env): RegionalRegistries {
    const { REGISTRIES: registries, REGION_KEY: ownKey = 'own', AWS_REGION: awsRegion = '' } = environment;
    const own = registryFromEnvironment(environment);
    if (!registries) return new RegionalRegistries(ownKey, [{ region: ownKey, awsRegion, registry: own }]);
    const addresses = JSON.parse(registries) as RegistryAddress[];
    return new RegionalRegistries(
      ownKey,
      addresses.map((address) => ({
        region: address.region,
        awsRegion: address.awsRegion,
        registry: address.region === ownKey ? own : registryAt(address),
      })),
    );
  }

  /** @throws {UnknownRegion} */
  of(regionKey: string): DataApi {
    return this.#find(regionKey).registry;
  }

  /** The same, as a function of that region has them. */
  seenFrom(regionKey: string): Pick<RegionalRegistries, 'keys' | 'ownKey' | 'of' | 'awsRegionOf'> {
    return {
      keys: this.keys,
      ownKey: regionKey,
      of: (key) => this.of(key),
      awsRegionOf: (key) => this.awsRegionOf(key),
    };
  }

  /** Such as `us-east-1` for `us`. @throws {UnknownRegion} */
  awsRegionOf(regionKey: string): string {
    return this.#find(regionKey).awsRegion;
  }

  #find(regionKey: string): RegionalRegistry {
    const found = this.#registries.get(regionKey);
    if (!found) throw new UnknownRegion(regionKey);
    return found;
  }
}

function registryAt({ awsRegion: region, clusterArn, database, secretName }: RegistryAddress): DataApi {
  let arn: Promise<string> | undefined;
  return new DataApi({
    clusterArn,
    database,
    region,
    secretArn: () => {
      // A failure is not remembered: the region may be deployed, or reached, a moment later.
      arn ??= secretArnOf(secretName, region).catch((error: unknown) => {
        arn = undefined;
        throw error;
      });
      return arn;
    },
  });
}
