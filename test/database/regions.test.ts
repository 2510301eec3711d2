import {
  CreateSecretCommand,
  DeleteSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CredentialStore, regionOfArn } from '../../functions/database/session/credentials.ts';
import { readSecret } from '../../functions/places/tenant-secret.ts';
import type { DataApi } from '../../functions/registry/data-api.ts';
import { RegionalRegistries } from '../../functions/registry/regional-registries.ts';
import {
  exchangeRegions,
  findRegion,
  type RegionRecord,
  registerRegion,
} from '../../functions/registry/regions.ts';
import { type LocalSecrets, startLocalSecrets } from '../move/local-secrets.ts';
import { TestDatabase } from '../test-database.ts';

const databases: TestDatabase[] = [];
afterAll(() => Promise.all(databases.map((database) => database.drop())));

async function newRegistry(): Promise<DataApi> {
  const database = await TestDatabase.cloneRegistry();
  databases.push(database);
  return (await database.registry()) as unknown as DataApi;
}

const recordOf = (regionKey: string, awsRegion: string): RegionRecord => ({
  regionKey,
  awsRegion,
  apiUrl: `https://api.${regionKey}.test`,
  secretsKeyArn: `arn:aws:kms:${awsRegion}:1:key/k`,
  dedicatedTemplateUrl: `https://s3.${awsRegion}.amazonaws.com/t.json`,
  dedicatedRoleArn: 'arn:aws:iam::1:role/launch',
  dedicatedParameters: { SubnetIds: 'subnet-1,subnet-2' },
  dedicatedSizes: { small: { ReaderCount: '0' }, medium: { ReaderCount: '1' }, large: { ReaderCount: '2' } },
});
const us = recordOf('us', 'us-east-1');
const eu = recordOf('eu', 'eu-west-1');

describe('the table of regions', () => {
  test('holds each region once, as it was registered last; the reader looks it up', async () => {
    const database = await TestDatabase.cloneRegistry();
    databases.push(database);
    const writer = await database.registry();
    expect(await findRegion(writer, 'eu')).toBeUndefined();
    await registerRegion(writer, { ...eu, apiUrl: 'https://old.test' });
    await registerRegion(writer, eu);
    const reader = await database.registry('registryReader');
    expect(await findRegion(reader, 'eu')).toEqual(eu);
    expect(await reader.query('SELECT count(*)::int AS count FROM regions')).toEqual([{ count: 1 }]);
    await expect(registerRegion(reader, us)).rejects.toMatchObject({ sqlState: '42501' });
    await expect(writer.query('DELETE FROM regions')).rejects.toMatchObject({ sqlState: '42501' });
  });

  test('beside it, tenants may be elsewhere or arriving', async () => {
    const writer = await newRegistry();
    for (const status of ['elsewhere', 'arriving']) {
      await writer.query(
        `INSERT INTO tenants (tenant_name, tenant_slug, isolation_model, subscription_tier, home_region, status)
         VALUES (:status, :status, 'shared', 'starter', 'eu', :status)`,
        { status },
      );
    }
    // They take these along to another region.
    for (const table of ['usage_samples', 'tenant_offers', 'promotion_decisions']) {
      await writer.query(`DELETE FROM ${table}`);
    }
  });
});

describe('regions exchange what they are', () => {
  test('whichever is deployed first, the second leaves both in both registries', async () => {
    const [home, other] = [await newRegistry(), await newRegistry()];
    const both = [
      { region: 'us', awsRegion: 'us-east-1', registry: home },
      { region: 'eu', awsRegion: 'eu-west-1', registry: other },
    ];
    expect(await exchangeRegions(new RegionalRegistries('us', both), us)).toEqual([]);
    expect(await findRegion(other, 'us')).toEqual(us);
    expect(await findRegion(home, 'eu')).toBeUndefined();
    expect(await exchangeRegions(new RegionalRegistries('eu', both), eu)).toEqual([]);
    for (const registry of [home, other]) {
      expect(await findRegion(registry, 'us')).toEqual(us);
      expect(await findRegion(registry, 'eu')).toEqual(eu);
    }
  });

  test('a registry that cannot be reached, or is older, is told of and passed over', async () => {
    const [home, third] = [await newRegistry(), await newRegistry()];
    const older = await TestDatabase.empty();
    databases.push(older);
    const absent = {
      query: () => Promise.reject(new Error('no such cluster')),
    } as unknown as DataApi;
    const registries = new RegionalRegistries('us', [
      { region: 'us', awsRegion: 'us-east-1', registry: home },
      { region: 'eu', awsRegion: 'eu-west-1', registry: absent },
      {
        region: 'old',
        awsRegion: 'eu-west-2',
        registry: (await older.registry('master')) as unknown as DataApi,
      },
      { region: 'apac', awsRegion: 'ap-southeast-1', registry: third },
    ]);
    expect(await exchangeRegions(registries, us)).toMatchObject([
      { regionKey: 'eu', error: { message: 'no such cluster' } },
      { regionKey: 'old', error: { sqlState: '42P01' } },
    ]);
    expect(await findRegion(home, 'us')).toEqual(us);
    expect(await findRegion(third, 'us')).toEqual(us);
  });

  test('what our own registry refuses is thrown', async () => {
    const database = await TestDatabase.cloneRegistry();
    databases.push(database);
    const registry = (await database.registry('registryReader')) as unknown as DataApi;
    const registries = new RegionalRegistries('us', [{ region: 'us', awsRegion: 'us-east-1', registry }]);
    await expect(exchangeRegions(registries, us)).rejects.toMatchObject({ sqlState: '42501' });
  });
});

describe('the registries of all regions', () => {
  const own = { REGISTRY_CLUSTER_ARN: 'arn', REGISTRY_SECRET_ARN: 'arn', REGISTRY_DATABASE: 'registry' };
  const there = { secretName: 'strata/registry/writer', database: 'registry' };
  const REGISTRIES = JSON.stringify([
    { ...there, region: 'us', awsRegion: 'us-east-1', clusterArn: 'arn:us' },
    { ...there, region: 'eu', awsRegion: 'eu-west-1', clusterArn: 'arn:eu' },
  ]);

  test('are those of the environment, in its order', () => {
    const registries = RegionalRegistries.fromEnvironment({ ...own, REGISTRIES, REGION_KEY: 'eu' });
    expect(registries.ownKey).toBe('eu');
    expect(registries.keys).toEqual(['us', 'eu']);
    expect(registries.of('eu')).toBe(registries.own);
    expect(registries.of('us')).not.toBe(registries.own);
    expect(registries.of('us')).toBe(registries.of('us'));
    expect(registries.awsRegionOf('us')).toBe('us-east-1');
    for (const ask of [() => registries.of('mars'), () => registries.awsRegionOf('mars')]) {
      expect(ask).toThrow(expect.objectContaining({ name: 'UnknownRegion' }));
    }
  });

  test('are our own alone where the environment names no others', () => {
    const registries = RegionalRegistries.fromEnvironment({ ...own, AWS_REGION: 'us-east-1' });
    expect(registries.keys).toEqual([registries.ownKey]);
    expect(registries.of(registries.ownKey)).toBe(registries.own);
    expect(registries.awsRegionOf(registries.ownKey)).toBe('us-east-1');
    const named = RegionalRegistries.fromEnvironment({ ...own, REGION_KEY: 'us' });
    expect(named.keys).toEqual(['us']);
    expect(() => named.of('eu')).toThrow(expect.objectContaining({ name: 'UnknownRegion' }));
  });

  test('must hold our own', () => {
    expect(() => RegionalRegistries.fromEnvironment({ ...own, REGISTRIES, REGION_KEY: 'apac' })).toThrow(
      expect.objectContaining({ name: 'UnknownRegion' }),
    );
  });
});

describe('a secret is read where it is', () => {
  const EU = 'eu-west-1';
  let secrets: LocalSecrets;
  let eu: SecretsManagerClient;
  let arn: string;
  beforeAll(async () => {
    secrets = await startLocalSecrets();
    await secrets.put('strata/twin', { user: 'of_us', password: 'p' });
    eu = new SecretsManagerClient({ region: EU });
    const SecretString = JSON.stringify({ username: 'of_eu', password: 'p' });
    arn = (await eu.send(new CreateSecretCommand({ Name: 'strata/twin', SecretString }))).ARN as string;
  });
  afterAll(async () => {
    eu?.destroy();
    await secrets?.stop();
  });

  test('by its ARN in the region that the ARN names, by its name in the one that is given, or else in our own', async () => {
    const store = new CredentialStore();
    expect(await store.get(arn)).toMatchObject({ username: 'of_eu' });
    expect(await store.get('strata/twin')).toMatchObject({ username: 'of_us' });
    expect(await new CredentialStore({ region: EU }).get('strata/twin')).toMatchObject({ username: 'of_eu' });
    expect(await readSecret(arn)).toMatchObject({ arn, username: 'of_eu' });
    expect(await readSecret('strata/twin')).toMatchObject({ username: 'of_us' });
    expect(await readSecret('strata/twin', EU)).toMatchObject({ arn, username: 'of_eu' });
  });

  test('a registry writer’s that is not there is looked for again by the next statement, and once it is found, no more', async () => {
    const own = { REGISTRY_CLUSTER_ARN: 'arn', REGISTRY_SECRET_ARN: 'arn', REGISTRY_DATABASE: 'registry' };
    const address = { secretName: 'strata/registry/writer', database: 'registry', clusterArn: 'arn:eu' };
    const registry = RegionalRegistries.fromEnvironment({
      ...own,
      REGION_KEY: 'us',
      REGISTRIES: JSON.stringify([
        { ...address, region: 'us', awsRegion: 'us-east-1' },
        { ...address, region: 'eu', awsRegion: EU },
      ]),
    }).of('eu');
    const refusal = () => registry.query('SELECT 1').catch((error: Error) => error.name);
    expect(await refusal()).toBe('ResourceNotFoundException');
    const SecretString = JSON.stringify({ username: 'writer', password: 'p' });
    await eu.send(new CreateSecretCommand({ Name: 'strata/registry/writer', SecretString }));
    // Here is a secret, but no cluster.
    expect(await refusal()).not.toBe('ResourceNotFoundException');
    await eu.send(
      new DeleteSecretCommand({ SecretId: 'strata/registry/writer', ForceDeleteWithoutRecovery: true }),
    );
    expect(await refusal()).not.toBe('ResourceNotFoundException');
  });
});

test('an ARN names its region, a name does not', () => {
  expect(regionOfArn('arn:aws:secretsmanager:eu-west-1:1:secret:strata/x-abcdef')).toBe('eu-west-1');
  expect(regionOfArn('arn:aws-cn:rds:cn-north-1:1:cluster:x')).toBe('cn-north-1');
  for (const none of ['strata/us-1/owner', 'arn:aws:iam::1:role/x', 'arn:owner', '']) {
    expect(regionOfArn(none)).toBeUndefined();
  }
});
