import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { RDSClient } from '@aws-sdk/client-rds';
import { RDSDataClient } from '@aws-sdk/client-rds-data';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SFNClient } from '@aws-sdk/client-sfn';
import { writeAssembly } from '../aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from '../aws/endpoint-fixture.ts';
import { newDirectory, stackNamed } from '../running-fixture.ts';
import { EU, type TwinFiles, twinStack, US } from './twin-stacks.ts';

/** A platform that runs a stack called Twin in one or in two regions. */
export interface TwoRegions extends TwinFiles {
  fixture: EndpointFixture;
  outputs(region: string): Record<string, string>;
  /** Stops it and starts it on the same state with these regions, after `between` had a look. */
  restart(regions: string[], between?: () => void): Promise<void>;
  stop(): Promise<void>;
}

export async function startTwins(regions: string[], runTimeTemplate?: unknown): Promise<TwoRegions> {
  const directory = newDirectory();
  mkdirSync(join(directory, 'records'));
  const files: TwinFiles = {
    record: (region) => join(directory, 'records', region),
    tenants: join(directory, 'tenants.json'),
  };
  const stacks = (wanted: string[]) => wanted.map((region) => twinStack(region, files));
  const fixture = await startEndpoint(stacks(regions), runTimeTemplate);
  return {
    ...files,
    fixture,
    outputs: (region) => stackNamed(fixture.platform, 'Twin', region).outputs,
    restart: (wanted, between) =>
      fixture.restart(() => {
        writeAssembly(join(fixture.stateDir, '..', 'cdk.out'), stacks(wanted), runTimeTemplate);
        between?.();
      }),
    async stop() {
      await fixture.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Clients of an administrator, for each service in each region. */
export function clientsOf({ fixture }: TwoRegions) {
  const inBoth = <Client>(make: (options: ReturnType<EndpointFixture['client']>) => Client) => ({
    us: make(fixture.client(undefined, US)),
    eu: make(fixture.client(undefined, EU)),
  });
  return {
    cloudFormation: inBoth((options) => new CloudFormationClient(options)),
    lambda: inBoth((options) => new LambdaClient(options)),
    rds: inBoth((options) => new RDSClient(options)),
    rdsData: inBoth((options) => new RDSDataClient(options)),
    secrets: inBoth((options) => new SecretsManagerClient(options)),
    states: inBoth((options) => new SFNClient(options)),
  };
}
