import { createHash, createPublicKey, verify } from 'node:crypto';
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  GenerateDataKeyCommand,
  GetKeyRotationStatusCommand,
  GetPublicKeyCommand,
  KMSClient,
  ListResourceTagsCommand,
  ReEncryptCommand,
  ReplicateKeyCommand,
  ScheduleKeyDeletionCommand,
  SignCommand,
  VerifyCommand,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type FixtureStack, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const KEYS = 'arn:aws:kms:us-east-1:000000000000:key/*';
const TAG = 'tenant-field-key';
const Tags = [{ TagKey: 'strata:component', TagValue: TAG }];

/** The rights that functions of this project have on keys of tenants. */
const keysStack: FixtureStack = {
  name: 'Keys',
  resources: {
    Data: {
      Type: 'AWS::KMS::Key',
      Properties: { Description: 'of data', Tags: [{ Key: 'strata:component', Value: 'data-plane' }] },
    },
    DataAlias: {
      Type: 'AWS::KMS::Alias',
      Properties: { AliasName: 'alias/strata-us', TargetKeyId: { Ref: 'Data' } },
    },
    Signing: {
      Type: 'AWS::KMS::Key',
      Properties: { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' },
    },
    SigningAlias: {
      Type: 'AWS::KMS::Alias',
      Properties: { AliasName: 'alias/strata-us-certificates', TargetKeyId: { Ref: 'Signing' } },
    },
    ...role('Signs', [
      { Action: ['kms:Sign', 'kms:GetPublicKey'], Resource: { 'Fn::GetAtt': ['Signing', 'Arn'] } },
    ]),
    ...role('Deletes', [
      { Action: 'kms:DeleteAlias', Resource: 'arn:aws:kms:us-east-1:000000000000:alias/strata-tenant-*' },
      {
        Action: ['kms:DeleteAlias', 'kms:DescribeKey', 'kms:ScheduleKeyDeletion'],
        Resource: KEYS,
        Condition: { StringEquals: { 'aws:ResourceTag/strata:component': TAG } },
      },
    ]),
    ...role('Provides', [
      {
        Action: 'kms:CreateKey',
        Resource: '*',
        Condition: { StringEquals: { 'aws:RequestTag/strata:component': TAG } },
      },
      {
        Action: 'kms:TagResource',
        Resource: KEYS,
        Condition: {
          StringEquals: { 'aws:RequestTag/strata:component': TAG },
          Null: { 'aws:ResourceTag/strata:component': 'true' },
        },
      },
      { Action: 'kms:CreateAlias', Resource: 'arn:aws:kms:us-east-1:000000000000:alias/strata-tenant-*' },
      {
        Action: ['kms:CreateAlias', 'kms:EnableKeyRotation'],
        Resource: KEYS,
        Condition: { StringEquals: { 'aws:ResourceTag/strata:component': TAG } },
      },
    ]),
    ...role('Copies', [
      {
        Action: 'kms:ReplicateKey',
        Resource: KEYS,
        Condition: {
          StringEquals: { 'kms:ReplicaRegion': 'us-west-2', 'aws:ResourceTag/strata:component': TAG },
        },
      },
      {
        Action: 'kms:CreateKey',
        Resource: '*',
        Condition: { StringEquals: { 'aws:RequestedRegion': 'us-west-2' } },
      },
      {
        Action: 'kms:TagResource',
        Resource: 'arn:aws:kms:us-west-2:000000000000:key/*',
        Condition: { StringEquals: { 'aws:RequestTag/strata:component': 'copy' } },
      },
    ]),
    ...role('Reads', [
      {
        Action: 'kms:Decrypt',
        Resource: 'arn:aws:kms:us-west-2:000000000000:key/*',
        Condition: { StringEquals: { 'aws:ResourceTag/strata:component': 'copy' } },
      },
    ]),
    ...role('Uses', [
      {
        Action: ['kms:GenerateDataKey', 'kms:Decrypt'],
        Resource: KEYS,
        Condition: {
          Null: { 'kms:EncryptionContext:tenantId': 'false' },
          'ForAnyValue:StringLike': { 'kms:ResourceAliases': ['alias/strata-tenant-*'] },
        },
      },
    ]),
  },
};

let fixture: EndpointFixture;
const kms = (roleName?: string, region?: string) => new KMSClient(fixture.client(roleName, region));
beforeAll(async () => {
  fixture = await startEndpoint([keysStack]);
});
afterAll(() => fixture?.stop());

const denied = { name: 'AccessDeniedException' };

async function tenantKey(name: string): Promise<string> {
  const provides = kms('Provides');
  const { KeyMetadata } = await provides.send(new CreateKeyCommand({ Tags }));
  const alias = { AliasName: `alias/strata-tenant-${name}`, TargetKeyId: KeyMetadata?.KeyId };
  await provides.send(new CreateAliasCommand(alias));
  return KeyMetadata?.Arn as string;
}

test('a role makes tagged keys with aliases of tenants, and nothing else', async () => {
  const provides = kms('Provides');
  await expect(provides.send(new CreateKeyCommand({}))).rejects.toMatchObject(denied);
  const other = [{ TagKey: 'strata:component', TagValue: 'data-plane' }];
  await expect(provides.send(new CreateKeyCommand({ Tags: other }))).rejects.toMatchObject(denied);
  const { KeyMetadata } = await provides.send(new CreateKeyCommand({ Tags, Description: 'one' }));
  expect(KeyMetadata).toMatchObject({ Description: 'one', KeyState: 'Enabled', Enabled: true });
  const { KeyId: TargetKeyId, Arn } = KeyMetadata as { KeyId: string; Arn: string };
  const alias = (AliasName: string, key = TargetKeyId) =>
    provides.send(new CreateAliasCommand({ AliasName, TargetKeyId: key }));
  await expect(alias('alias/other')).rejects.toMatchObject(denied);
  await expect(alias('alias/strata-tenant-1', 'alias/strata-us')).rejects.toMatchObject(denied);
  await alias('alias/strata-tenant-1');
  await expect(alias('alias/strata-tenant-1')).rejects.toMatchObject({ name: 'AlreadyExistsException' });
  await provides.send(new EnableKeyRotationCommand({ KeyId: TargetKeyId }));
  for (const forbidden of [
    new DisableKeyCommand({ KeyId: TargetKeyId }),
    new ScheduleKeyDeletionCommand({ KeyId: TargetKeyId }),
  ]) {
    await expect(provides.send(forbidden as DisableKeyCommand)).rejects.toMatchObject(denied);
  }
  const admin = kms();
  const found = await admin.send(new DescribeKeyCommand({ KeyId: 'alias/strata-tenant-1' }));
  expect(found.KeyMetadata?.Arn).toBe(Arn);
  expect(await admin.send(new GetKeyRotationStatusCommand({ KeyId: Arn }))).toMatchObject({
    KeyRotationEnabled: true,
  });
  expect((await admin.send(new ListResourceTagsCommand({ KeyId: Arn }))).Tags).toEqual(Tags);
});

test('a role uses keys of tenants only, and only for a tenant', async () => {
  const KeyId = await tenantKey('2');
  const uses = kms('Uses');
  const generate = (keyId: string, EncryptionContext?: Record<string, string>) =>
    uses.send(new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext }));
  await expect(generate(KeyId)).rejects.toMatchObject(denied);
  await expect(generate(KeyId, { tenant: 'a' })).rejects.toMatchObject(denied);
  await expect(generate('alias/strata-us', { tenantId: 'a' })).rejects.toMatchObject(denied);
  const { CiphertextBlob, Plaintext } = await generate(KeyId, { tenantId: 'a' });
  const decrypt = (tenantId: string) =>
    uses.send(new DecryptCommand({ KeyId, CiphertextBlob, EncryptionContext: { tenantId } }));
  expect((await decrypt('a')).Plaintext).toEqual(Plaintext);
  await expect(decrypt('b')).rejects.toMatchObject({ name: 'InvalidCiphertextException' });
});

test('keys made by calls keep state, tags, aliases and what they encrypted over a restart', async () => {
  const KeyId = await tenantKey('3');
  const context = { EncryptionContext: { tenantId: 'a' } };
  const { CiphertextBlob, Plaintext } = await kms('Uses').send(
    new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', ...context }),
  );
  await kms().send(new DisableKeyCommand({ KeyId }));
  await fixture.restart();
  const decrypt = () => kms('Uses').send(new DecryptCommand({ KeyId, CiphertextBlob, ...context }));
  await expect(decrypt()).rejects.toMatchObject({ name: 'DisabledException' });
  await kms().send(new EnableKeyCommand({ KeyId: 'alias/strata-tenant-3' }));
  expect((await decrypt()).Plaintext).toEqual(Plaintext);
});

test('a key that is pending deletion is not usable until that is cancelled', async () => {
  const KeyId = await tenantKey('4');
  const admin = kms();
  const generate = () =>
    admin.send(
      new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', EncryptionContext: { tenantId: 'a' } }),
    );
  await expect(
    admin.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 6 })),
  ).rejects.toMatchObject({
    name: 'ValidationException',
  });
  await admin.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  await expect(generate()).rejects.toMatchObject({ name: 'KMSInvalidStateException' });
  await admin.send(new CancelKeyDeletionCommand({ KeyId }));
  await expect(generate()).rejects.toMatchObject({ name: 'DisabledException' });
  await admin.send(new EnableKeyCommand({ KeyId }));
  expect((await generate()).KeyId).toBe(KeyId);
});

test('a ciphertext is brought under another key without leaving KMS', async () => {
  const admin = kms();
  const [from, to] = [await tenantKey('5'), await tenantKey('6')];
  const { CiphertextBlob, Plaintext } = await admin.send(
    new GenerateDataKeyCommand({ KeyId: from, KeySpec: 'AES_256', EncryptionContext: { tenantId: 'a' } }),
  );
  const again = await admin.send(
    new ReEncryptCommand({
      CiphertextBlob,
      SourceEncryptionContext: { tenantId: 'a' },
      DestinationKeyId: to,
      DestinationEncryptionContext: { tenantId: 'b' },
    }),
  );
  expect([again.SourceKeyId, again.KeyId]).toEqual([from, to]);
  const opened = await admin.send(
    new DecryptCommand({ CiphertextBlob: again.CiphertextBlob, EncryptionContext: { tenantId: 'b' } }),
  );
  expect(opened.Plaintext).toEqual(Plaintext);
});

test('a key that signs: anyone verifies its signatures with the public key, also after a restart', async () => {
  let signer = kms('Signs');
  const KeyId = 'alias/strata-us-certificates';
  const text = Buffer.from('what was erased');
  const digest = createHash('sha256').update(text).digest();
  const SigningAlgorithm = 'RSASSA_PSS_SHA_256';
  const { KeyMetadata } = await kms().send(new DescribeKeyCommand({ KeyId }));
  expect(KeyMetadata).toMatchObject({ KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' });
  const key = { KeyId: KeyMetadata?.Arn };
  const { PublicKey } = await signer.send(new GetPublicKeyCommand(key));
  const publicKey = createPublicKey({ key: Buffer.from(PublicKey!), format: 'der', type: 'spki' });
  const isValid = (signature: Uint8Array) =>
    verify('sha256', text, { key: publicKey, padding: 6, saltLength: 32 }, signature);
  const sign = { ...key, SigningAlgorithm } as const;
  for (let count = 0; count < 20; count++) {
    const { Signature } = await signer.send(
      new SignCommand({ ...sign, Message: digest, MessageType: 'DIGEST' }),
    );
    expect(isValid(Signature!)).toBe(true);
  }
  await fixture.restart();
  signer = kms('Signs');
  const { Signature } = await signer.send(new SignCommand({ ...sign, Message: text }));
  expect(isValid(Signature!)).toBe(true);
  const check = { ...sign, Message: digest, MessageType: 'DIGEST', Signature } as const;
  expect((await kms().send(new VerifyCommand(check))).SignatureValid).toBe(true);
  const other = { ...check, Message: createHash('sha256').update('other').digest() };
  await expect(kms().send(new VerifyCommand(other))).rejects.toMatchObject({
    name: 'KMSInvalidSignatureException',
  });
  await expect(signer.send(new VerifyCommand(check))).rejects.toMatchObject({
    name: 'AccessDeniedException',
  });
  await expect(
    signer.send(new SignCommand({ ...sign, Message: digest.subarray(1), MessageType: 'DIGEST' })),
  ).rejects.toMatchObject({
    name: 'ValidationException',
  });
  const wrong = { name: 'InvalidKeyUsageException' };
  await expect(kms().send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }))).rejects.toMatchObject(
    wrong,
  );
  await expect(
    kms().send(new SignCommand({ KeyId: 'alias/strata-us', SigningAlgorithm, Message: text })),
  ).rejects.toMatchObject(wrong);
});

test('the key of a tenant that is offboarded: its alias goes at once, and only keys with the tag may be deleted', async () => {
  const { KeyMetadata } = await kms().send(new CreateKeyCommand({ Tags }));
  const { KeyId, Arn } = KeyMetadata!;
  const AliasName = 'alias/strata-tenant-leaving';
  await kms().send(new CreateAliasCommand({ AliasName, TargetKeyId: KeyId! }));
  const deleting = kms('Deletes');
  await deleting.send(new DeleteAliasCommand({ AliasName }));
  await expect(kms().send(new DescribeKeyCommand({ KeyId: AliasName }))).rejects.toMatchObject({
    name: 'NotFoundException',
  });
  await deleting.send(new ScheduleKeyDeletionCommand({ KeyId: Arn!, PendingWindowInDays: 7 }));
  const { Arn: dataKey } = (await kms().send(new DescribeKeyCommand({ KeyId: 'alias/strata-us' })))
    .KeyMetadata!;
  await expect(
    deleting.send(new ScheduleKeyDeletionCommand({ KeyId: dataKey!, PendingWindowInDays: 7 })),
  ).rejects.toMatchObject(denied);
  await expect(deleting.send(new DeleteAliasCommand({ AliasName: 'alias/strata-us' }))).rejects.toMatchObject(
    denied,
  );
});

describe('a multi-Region key', () => {
  const WEST = 'us-west-2';
  const CopyTags = [{ TagKey: 'strata:component', TagValue: 'copy' }];
  const multiRegionKey = async () => {
    const command = new CreateKeyCommand({ MultiRegion: true, Tags });
    return (await kms().send(command)).KeyMetadata?.Arn as string;
  };
  const inWest = (keyArn: string) => keyArn.replace('us-east-1', WEST);
  const stateOf = async (KeyId: string) => {
    const { KeyMetadata } = await kms(undefined, KeyId.split(':')[3]).send(new DescribeKeyCommand({ KeyId }));
    return KeyMetadata?.KeyState;
  };

  test('is copied with its tag to the region that the rights name, and decrypts there, also after a restart', async () => {
    const KeyId = await multiRegionKey();
    const copy = (ReplicaRegion: string, copyTags = CopyTags, key = KeyId) =>
      kms('Copies').send(new ReplicateKeyCommand({ KeyId: key, ReplicaRegion, Tags: copyTags }));
    await expect(copy('eu-west-1')).rejects.toMatchObject(denied);
    await expect(copy(WEST, Tags)).rejects.toMatchObject(denied);
    await expect(copy(WEST, CopyTags, await tenantKey('single'))).rejects.toMatchObject({
      name: 'UnsupportedOperationException',
    });
    expect((await copy(WEST)).ReplicaKeyMetadata).toMatchObject({ Arn: inWest(KeyId), KeyState: 'Creating' });
    await expect(copy(WEST)).rejects.toMatchObject({ name: 'AlreadyExistsException' });
    const { MultiRegionConfiguration } =
      (await kms().send(new DescribeKeyCommand({ KeyId }))).KeyMetadata ?? {};
    expect(MultiRegionConfiguration).toEqual({
      MultiRegionKeyType: 'PRIMARY',
      PrimaryKey: { Arn: KeyId, Region: 'us-east-1' },
      ReplicaKeys: [{ Arn: inWest(KeyId), Region: WEST }],
    });
    const { CiphertextBlob, Plaintext } = await kms().send(
      new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }),
    );
    await fixture.restart();
    const decrypt = (region: string) =>
      kms('Reads', region).send(
        new DecryptCommand({ KeyId: KeyId.replace('us-east-1', region), CiphertextBlob }),
      );
    expect((await decrypt(WEST)).Plaintext).toEqual(Plaintext);
    await expect(decrypt('us-east-1')).rejects.toMatchObject(denied);
    await kms().send(new EnableKeyRotationCommand({ KeyId }));
    const west = kms(undefined, WEST);
    expect(await west.send(new GetKeyRotationStatusCommand({ KeyId: inWest(KeyId) }))).toMatchObject({
      KeyRotationEnabled: true,
    });
    await expect(west.send(new EnableKeyRotationCommand({ KeyId: inWest(KeyId) }))).rejects.toMatchObject({
      name: 'UnsupportedOperationException',
    });
  });

  test('whoever makes one may also make the role of KMS', async () => {
    const create = () => kms('Provides').send(new CreateKeyCommand({ MultiRegion: true, Tags }));
    await expect(create()).rejects.toMatchObject(denied);
  });

  test('is deleted after its copies', async () => {
    const KeyId = await multiRegionKey();
    await kms().send(new ReplicateKeyCommand({ KeyId, ReplicaRegion: WEST }));
    const schedule = (key: string) =>
      kms(undefined, key.split(':')[3]).send(
        new ScheduleKeyDeletionCommand({ KeyId: key, PendingWindowInDays: 7 }),
      );
    expect(await schedule(KeyId)).toMatchObject({ KeyState: 'PendingReplicaDeletion' });
    expect(await stateOf(inWest(KeyId))).toBe('Enabled');
    expect(await schedule(inWest(KeyId))).toMatchObject({ KeyState: 'PendingDeletion' });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    vi.useFakeTimers({ now: Date.now() + 8 * 86_400_000, toFake: ['Date'] });
    await expect(stateOf(inWest(KeyId))).rejects.toMatchObject({ name: 'NotFoundException' });
    expect(await stateOf(KeyId)).toBe('PendingDeletion');
  });
});
