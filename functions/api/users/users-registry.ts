import { type DataApi, registryFromEnvironment } from '../../registry/data-api.ts';

let registry: DataApi | undefined;

/** The region's registry with the rights of the users' role; one per container, made at first use. */
export function usersRegistry(): DataApi {
  registry ??= registryFromEnvironment();
  return registry;
}
