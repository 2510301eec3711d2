import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Platform, type PlatformOptions, startPlatform } from '../../../infra/local/index.ts';
import { newDirectory, unusedPorts } from '../running-fixture.ts';
import { type FixtureStack, writeAssembly } from './assembly.ts';

/** What SDK clients of one principal need. */
export interface ClientOptions {
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  maxAttempts: number;
}

export interface EndpointFixture {
  platform: Platform;
  stateDir: string;
  log: string[];
  /** Of an administrator, or of the role with that name. */
  client(roleName?: string, region?: string): ClientOptions;
  /** A request with a hand-made signature, for services without an SDK client here. */
  call(target: string, body: unknown, roleName?: string): Promise<{ status: number; body: unknown }>;
  /** A hand-made signature, which is not verified: only its credential scope counts. */
  authorization(service: string, roleName?: string): string;
  /** Stops the platform and starts it on the same state, after `between` had a look. */
  restart(between?: () => void): Promise<void>;
  stop(): Promise<void>;
}

/** A platform that runs these stacks, in a directory of its own. */
export async function startEndpoint(
  stacks: FixtureStack[],
  runTimeTemplate?: unknown,
  options: Partial<Pick<PlatformOptions, 'pointInTimeRecovery' | 'waitScale'>> = {},
): Promise<EndpointFixture> {
  const directory = newDirectory();
  const stateDir = join(directory, 'state');
  const cdkOut = writeAssembly(join(directory, 'cdk.out'), stacks, runTimeTemplate);
  const [apiPort, awsPort] = await unusedPorts();
  const log: string[] = [];
  const start = (): Promise<Platform> =>
    startPlatform({
      projectDir: directory,
      stateDir,
      apiPort,
      awsPort,
      waitScale: 0.01,
      ...options,
      cdkOut,
      log: (line) => log.push(line),
    });
  const credentials = (platform: Platform, roleName?: string) =>
    roleName === undefined
      ? { accessKeyId: 'administrator', secretAccessKey: 'anything' }
      : platform.context.principals.accessKeyFor(`arn:aws:iam::000000000000:role/${roleName}`);
  const fixture: EndpointFixture = {
    platform: await start().catch((cause: unknown) => {
      rmSync(directory, { recursive: true, force: true });
      throw cause;
    }),
    stateDir,
    log,
    client: (roleName, region = 'us-east-1') => ({
      endpoint: fixture.platform.awsUrl,
      region,
      credentials: credentials(fixture.platform, roleName),
      maxAttempts: 1,
    }),
    async call(target, body, roleName) {
      const service = target.startsWith('TrentService') ? 'kms' : target.split('.')[0]!.toLowerCase();
      const response = await fetch(fixture.platform.awsUrl, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-amz-json-1.1',
          'x-amz-target': target,
          authorization: fixture.authorization(service, roleName),
        },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    },
    authorization(service, roleName) {
      const { accessKeyId } = credentials(fixture.platform, roleName);
      const scope = `${accessKeyId}/20250101/us-east-1/${service}/aws4_request`;
      return `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`;
    },
    async restart(between) {
      await fixture.platform.stop();
      between?.();
      fixture.platform = await start();
    },
    async stop() {
      await fixture.platform.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return fixture;
}
