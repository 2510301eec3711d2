import type { Settings } from './settings.ts';

/** Where the local platform is, unless it says something else. */
const DEFAULT_REGION = 'us-east-1';

/** AWS regions of the platform in the state directory, home first. */
export async function localRegions({ stateDir }: Settings): Promise<[string, ...string[]]> {
  // Only here, as in sign-locally.ts.
  const { readIdentity } = await import('../local/index.ts');
  const issuers = Object.values(readIdentity(stateDir)?.issuers ?? {});
  const [home = DEFAULT_REGION, ...others] = issuers.map(({ awsRegion }) => awsRegion);
  return [home, ...others];
}
