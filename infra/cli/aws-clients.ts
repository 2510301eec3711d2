import { LambdaClient } from '@aws-sdk/client-lambda';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { SFNClient } from '@aws-sdk/client-sfn';
import type { Settings } from './settings.ts';

export interface AwsClients {
  scheduler: SchedulerClient;
  lambda: LambdaClient;
  states: SFNClient;
}

/**
 * Clients of each AWS region that is meant, home first. They have the caller's own credentials; the local endpoint takes
 * any, so it is given some.
 */
export async function awsClients(settings: Settings, environment: NodeJS.ProcessEnv): Promise<AwsClients[]> {
  const regions =
    settings.region === undefined && settings.local ? await localRegions(settings) : [settings.region];
  return regions.map((region) => clientsOf(settings, environment, region));
}

function clientsOf(
  settings: Settings,
  environment: NodeJS.ProcessEnv,
  region: string | undefined,
): AwsClients {
  const own = environment.AWS_ACCESS_KEY_ID || environment.AWS_PROFILE;
  const options = {
    ...(settings.awsEndpoint ? { endpoint: settings.awsEndpoint } : {}),
    ...(region ? { region } : {}),
    ...(settings.local && !own
      ? { credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' } }
      : {}),
  };
  return {
    scheduler: new SchedulerClient(options),
    // A task may run for 15 minutes, and a second attempt would run it twice.
    lambda: new LambdaClient({ ...options, maxAttempts: 1 }),
    states: new SFNClient(options),
  };
}

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
