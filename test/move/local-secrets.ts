import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  ResourceExistsException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import {
  freePort,
  internals,
  LOCAL_ACCOUNT,
  type PlatformContext,
  stateFile,
} from '../../infra/local/index.ts';
import type { Login } from '../test-database.ts';

const { createAwsEndpoint, localPrincipals, claimStateDirectory, prepareStateDirectory } = await internals();

/** Secrets Manager of the local AWS endpoint, and nothing else of a platform. */
export interface LocalSecrets {
  /** Keeps a login under a name, by which `SecretId` finds it too. */
  put(name: string, login: Login): Promise<void>;
  stop(): Promise<void>;
}

/** The same for all files of a worker: modules of the code under test keep their clients of it. */
let port: Promise<number> | undefined;

/** Starts it, and points this process's SDK clients there. */
export async function startLocalSecrets(): Promise<LocalSecrets> {
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-local-secrets-'));
  chmodSync(stateDir, 0o755);
  prepareStateDirectory(claimStateDirectory(stateDir));
  const state = stateFile(join(stateDir, 'state'));
  const absent = () => Promise.reject(new Error('there is nothing here but secrets'));
  port ??= freePort(undefined, new Set());
  const awsUrl = `http://127.0.0.1:${await port}`;
  const context = {
    stateDir,
    account: LOCAL_ACCOUNT,
    awsUrl,
    stacks: new Map(),
    state,
    waitScale: 0,
    caCertificate: '',
    log: () => {},
    principals: localPrincipals(state),
    functions: { invoke: absent, list: () => [] },
    clusters: { stop: async () => {} },
    assets: {},
    deployer: {},
  } as unknown as PlatformContext;
  const endpoint = createAwsEndpoint({ context, before: [] });
  await endpoint.listen(await port);
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: context.awsUrl,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'administrator',
    AWS_SECRET_ACCESS_KEY: 'local',
  });
  const client = new SecretsManagerClient({});
  return {
    async put(name, { user, password }) {
      const SecretString = JSON.stringify({ username: user, password });
      try {
        await client.send(new CreateSecretCommand({ Name: name, SecretString }));
      } catch (error) {
        if (!(error instanceof ResourceExistsException)) throw error;
        await client.send(new PutSecretValueCommand({ SecretId: name, SecretString }));
      }
    },
    async stop() {
      client.destroy();
      await endpoint.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}
