import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetRandomPasswordCommand,
  GetSecretValueCommand,
  ListSecretsCommand,
  PutSecretValueCommand,
  RestoreSecretCommand,
  SecretsManagerClient,
  TagResourceCommand,
  UpdateSecretCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stackNamed } from '../running-fixture.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';
import { servicesStack } from './services-stack.ts';

let fixture: EndpointFixture;
let secrets: SecretsManagerClient;

beforeAll(async () => {
  fixture = await startEndpoint([servicesStack]);
  secrets = new SecretsManagerClient(fixture.client());
});

afterAll(() => fixture?.stop());

const create = (Name: string, SecretString = '1', client = secrets, extra = {}) =>
  client.send(new CreateSecretCommand({ Name, SecretString, ...extra }));
const read = (SecretId: string, extra = {}, client = secrets) =>
  client.send(new GetSecretValueCommand({ SecretId, ...extra }));
const notFound = { name: 'ResourceNotFoundException' };

describe('Secrets Manager', () => {
  test('finds a secret by name, by ARN and by ARN without suffix', async () => {
    const { ARN } = await create('find/me', 'found');
    expect(ARN).toMatch(/^arn:aws:secretsmanager:us-east-1:000000000000:secret:find\/me-[A-Za-z0-9]{6}$/);
    for (const id of ['find/me', ARN!, ARN!.slice(0, -7)]) {
      expect((await read(id)).SecretString).toBe('found');
    }
    await expect(read('find')).rejects.toMatchObject(notFound);
    await expect(
      read('find/me', {}, new SecretsManagerClient(fixture.client(undefined, 'eu-west-1'))),
    ).rejects.toMatchObject(notFound);
  });

  test('keeps the current and the previous version', async () => {
    await create('versions', 'one');
    await secrets.send(new PutSecretValueCommand({ SecretId: 'versions', SecretString: 'two' }));
    await secrets.send(new UpdateSecretCommand({ SecretId: 'versions', SecretString: 'three' }));
    expect(await read('versions')).toMatchObject({ SecretString: 'three', VersionStages: ['AWSCURRENT'] });
    expect(await read('versions', { VersionStage: 'AWSPREVIOUS' })).toMatchObject({ SecretString: 'two' });
    await expect(read('versions', { VersionStage: 'OTHER' })).rejects.toMatchObject(notFound);
    const { VersionIdsToStages } = await secrets.send(new DescribeSecretCommand({ SecretId: 'versions' }));
    expect(Object.values(VersionIdsToStages!).flat().sort()).toEqual(['AWSCURRENT', 'AWSPREVIOUS']);
  });

  test('is idempotent by token, and refuses a second secret of a name', async () => {
    const ClientRequestToken = '00000000-0000-4000-8000-000000000001';
    const first = await create('once', 'a', secrets, { ClientRequestToken });
    expect(await create('once', 'a', secrets, { ClientRequestToken })).toMatchObject({ ARN: first.ARN! });
    const exists = { name: 'ResourceExistsException' };
    await expect(create('once', 'b', secrets, { ClientRequestToken })).rejects.toMatchObject(exists);
    await expect(create('once')).rejects.toMatchObject(exists);
  });

  test('deletes with a recovery window, restores, and deletes at once', async () => {
    const { ARN } = await create('gone');
    const { DeletionDate } = await secrets.send(
      new DeleteSecretCommand({ SecretId: 'gone', RecoveryWindowInDays: 7 }),
    );
    expect(DeletionDate!.getTime()).toBeGreaterThan(Date.now() + 6 * 86_400_000);
    const invalid = { name: 'InvalidRequestException' };
    await expect(read('gone')).rejects.toMatchObject(invalid);
    await expect(create('gone')).rejects.toMatchObject(invalid);
    const described = await secrets.send(new DescribeSecretCommand({ SecretId: 'gone' }));
    expect(described.DeletedDate).toBeInstanceOf(Date);
    await secrets.send(new RestoreSecretCommand({ SecretId: 'gone' }));
    expect((await read('gone')).SecretString).toBe('1');
    await secrets.send(new DeleteSecretCommand({ SecretId: 'gone', ForceDeleteWithoutRecovery: true }));
    await expect(read('gone')).rejects.toMatchObject(notFound);
    expect((await create('gone')).ARN).not.toBe(ARN);
  });

  test('lists and tags', async () => {
    await create('listed/a', '1', secrets, { Tags: [{ Key: 'tenant', Value: 't1' }] });
    await secrets.send(new TagResourceCommand({ SecretId: 'listed/a', Tags: [{ Key: 'tier', Value: 'x' }] }));
    const { SecretList } = await secrets.send(
      new ListSecretsCommand({ Filters: [{ Key: 'name', Values: ['listed/'] }] }),
    );
    expect(SecretList).toMatchObject([
      {
        Name: 'listed/a',
        Tags: [
          { Key: 'tenant', Value: 't1' },
          { Key: 'tier', Value: 'x' },
        ],
      },
    ]);
    expect(JSON.stringify(SecretList)).not.toContain('SecretString');
  });

  test('makes random passwords', async () => {
    const { RandomPassword } = await secrets.send(
      new GetRandomPasswordCommand({
        PasswordLength: 50,
        ExcludePunctuation: true,
        ExcludeCharacters: 'abc',
      }),
    );
    expect(RandomPassword).toMatch(/^[A-Zd-z0-9]{50}$/);
  });

  test('a role needs the action, the resource and the key', async () => {
    const KmsKeyId = stackNamed(fixture.platform, 'Services').outputs.Key;
    const granted = new SecretsManagerClient(fixture.client('Granted'));
    const withoutKey = new SecretsManagerClient(fixture.client('WithoutKey'));
    await create('granted/a', 'x', granted, { KmsKeyId, Tags: [{ Key: 'k', Value: 'v' }] });
    expect((await read('granted/a', {}, granted)).SecretString).toBe('x');
    const denied = { name: 'AccessDeniedException' };
    await expect(create('other/a', 'x', granted)).rejects.toMatchObject(denied);
    await expect(
      granted.send(new PutSecretValueCommand({ SecretId: 'granted/a', SecretString: 'y' })),
    ).rejects.toMatchObject({
      ...denied,
      message: expect.stringMatching(
        /^User: arn:aws:sts::000000000000:assumed-role\/Granted\/Granted is not authorized to perform: secretsmanager:PutSecretValue on resource: arn:aws:secretsmanager:us-east-1:000000000000:secret:granted\/a-\w{6} because no identity-based policy allows the secretsmanager:PutSecretValue action$/,
      ),
    });
    await expect(read('granted/a', {}, withoutKey)).rejects.toMatchObject({
      ...denied,
      message: expect.stringContaining('kms:Decrypt'),
    });
    await expect(create('with/key', 'x', withoutKey, { KmsKeyId })).rejects.toMatchObject(denied);
    // Nothing was created by the refused call.
    await expect(read('with/key')).rejects.toMatchObject(notFound);
  });

  test('a permissions boundary limits a role', async () => {
    const bounded = new SecretsManagerClient(fixture.client('Bounded'));
    await bounded.send(new ListSecretsCommand({}));
    await expect(read('template/generated', {}, bounded)).rejects.toMatchObject({
      message: expect.stringContaining('because no permissions boundary allows'),
    });
  });

  test('removing a statement from the template takes the right away', async () => {
    const stack = stackNamed(fixture.platform, 'Services');
    const template = structuredClone(stack.template);
    const granted = new SecretsManagerClient(fixture.client('Granted'));
    await create('granted/b', 'x', granted);
    const statements = (
      template.Resources.GrantedPolicy!.Properties!.PolicyDocument as { Statement: { Action: unknown }[] }
    ).Statement;
    statements.shift();
    await fixture.platform.context.deployer.deploy({ ...stack, template, parameters: {} });
    await expect(read('granted/b', {}, granted)).rejects.toMatchObject({ name: 'AccessDeniedException' });
    await fixture.platform.context.deployer.deploy({ ...stack, parameters: {} });
    expect((await read('granted/b', {}, granted)).SecretString).toBe('x');
  });

  test('a generated secret keeps its value and ARN over restarts, and nothing is logged', async () => {
    const before = await read('template/generated');
    const { username, password } = JSON.parse(before.SecretString!);
    expect(username).toBe('u');
    expect(password).toMatch(/^[A-Za-z0-9]{40}$/);
    await fixture.restart();
    secrets = new SecretsManagerClient(fixture.client());
    expect(await read('template/generated')).toMatchObject({
      ARN: before.ARN!,
      SecretString: before.SecretString!,
    });
    expect(fixture.log.join('\n')).not.toContain(password);
  });
});

describe('KMS', () => {
  const plaintext = Buffer.from('salary').toString('base64');

  test('encrypts, and decrypts only with the same context', async () => {
    const EncryptionContext = { tenant: 't1' };
    const { body } = await fixture.call('TrentService.Encrypt', {
      KeyId: 'alias/test',
      Plaintext: plaintext,
      EncryptionContext,
    });
    const { CiphertextBlob, KeyId } = body as { CiphertextBlob: string; KeyId: string };
    expect(KeyId).toMatch(/^arn:aws:kms:us-east-1:000000000000:key\/[0-9a-f-]{36}$/);
    await fixture.restart();
    expect(await fixture.call('TrentService.Decrypt', { CiphertextBlob, EncryptionContext })).toMatchObject({
      status: 200,
      body: { Plaintext: plaintext },
    });
    expect(
      await fixture.call('TrentService.Decrypt', { CiphertextBlob, EncryptionContext: { tenant: 't2' } }),
    ).toMatchObject({ status: 400, body: { __type: 'InvalidCiphertextException' } });
    secrets = new SecretsManagerClient(fixture.client());
  });

  test('makes data keys', async () => {
    const { body } = await fixture.call('TrentService.GenerateDataKey', {
      KeyId: 'alias/test',
      KeySpec: 'AES_256',
    });
    const key = body as { Plaintext: string; CiphertextBlob: string };
    expect(Buffer.from(key.Plaintext, 'base64')).toHaveLength(32);
    const { body: again } = await fixture.call('TrentService.Decrypt', {
      CiphertextBlob: key.CiphertextBlob,
    });
    expect(again).toMatchObject({ Plaintext: key.Plaintext });
  });

  test('refuses unknown keys and roles without rights', async () => {
    expect(await fixture.call('TrentService.DescribeKey', { KeyId: 'alias/none' })).toMatchObject({
      body: { __type: 'NotFoundException' },
    });
    // Only through Secrets Manager, says the condition.
    expect(
      await fixture.call(
        'TrentService.GenerateDataKey',
        { KeyId: 'alias/test', KeySpec: 'AES_256' },
        'Granted',
      ),
    ).toMatchObject({ status: 400, body: { __type: 'AccessDeniedException' } });
  });
});
