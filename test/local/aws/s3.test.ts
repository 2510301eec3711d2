import { request } from 'node:http';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const Bucket = 'backups';
let fixture: EndpointFixture;
let s3: S3Client;
/** May write below `tenants/one/`, read there, and list that. */
let limited: S3Client;

beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Storage',
      resources: {
        Bucket: { Type: 'AWS::S3::Bucket', Properties: { BucketName: Bucket } },
        ...role('Erases', [
          { Action: ['s3:DeleteObjectVersion'], Resource: `arn:aws:s3:::${Bucket}/erased/*` },
          {
            Action: 's3:ListBucketVersions',
            Resource: `arn:aws:s3:::${Bucket}`,
            Condition: { StringLike: { 's3:prefix': 'erased/*' } },
          },
        ]),
        ...role('Limited', [
          { Action: ['s3:PutObject', 's3:GetObject'], Resource: `arn:aws:s3:::${Bucket}/tenants/one/*` },
          {
            Action: 's3:ListBucket',
            Resource: `arn:aws:s3:::${Bucket}`,
            Condition: { StringLike: { 's3:prefix': 'tenants/one/*' } },
          },
        ]),
      },
    },
  ]);
  s3 = new S3Client(fixture.client());
  limited = new S3Client(fixture.client('Limited'));
});
afterAll(() => fixture?.stop());

const put = (Key: string, Body: string | Buffer, client = s3) =>
  client.send(new PutObjectCommand({ Bucket, Key, Body }));
const read = async (Key: string, client = s3) => {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from(await Body!.transformToByteArray());
};

test('a bucket of a template holds objects, byte for byte, under any key', async () => {
  const bytes = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));
  for (const key of ['plain', 'a//b', 'umlaut ä+%20?', '../../../outside', 'data.data/x']) {
    await put(key, bytes);
    expect(await read(key)).toEqual(bytes);
  }
  const { ContentLength } = await s3.send(new HeadObjectCommand({ Bucket, Key: 'plain' }));
  expect(ContentLength).toBe(512);
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'a//' }));
  expect(Contents?.map(({ Key }) => Key)).toEqual(['a//b']);
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'plain' }));
  await expect(read('plain')).rejects.toMatchObject({ name: 'NoSuchKey' });
});

test('an object larger than fauxqs parses is stored whole, and one beyond the limit is refused', async () => {
  const large = Buffer.alloc(12 * 1024 * 1024, 'large');
  const { ETag } = await put('large', large);
  // The MD5 of the whole: it was not stored in parts.
  expect(ETag).toMatch(/^"[0-9a-f]{32}"$/);
  expect((await read('large')).equals(large)).toBe(true);
  await expect(put('larger', Buffer.alloc(64 * 1024 * 1024 + 1))).rejects.toMatchObject({
    name: 'EntityTooLarge',
    message: expect.stringContaining('upload in parts'),
  });
});

test('an upload in parts becomes one object, and only under its own key', async () => {
  const Key = 'parts';
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const Body = Buffer.alloc(5 * 1024 * 1024, 'a');
  const first = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body }));
  const last = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 2, Body: 'b' }));
  const MultipartUpload = {
    Parts: [first, last].map(({ ETag }, index) => ({ ETag, PartNumber: index + 1 })),
  };
  const complete = (key: string) =>
    s3.send(new CompleteMultipartUploadCommand({ Bucket, Key: key, UploadId, MultipartUpload }));
  await expect(complete('another')).rejects.toMatchObject({ name: 'NoSuchUpload' });
  await complete(Key);
  expect((await read(Key)).length).toBe(Body.length + 1);
});

describe('a role', () => {
  test('reaches the keys that its policy names and no others', async () => {
    await put('tenants/one/x', 'one', limited);
    await put('tenants/two/x', 'two');
    expect(String(await read('tenants/one/x', limited))).toBe('one');
    await expect(read('tenants/two/x', limited)).rejects.toMatchObject({ name: 'AccessDenied' });
    await expect(put('tenants/two/x', 'x', limited)).rejects.toMatchObject({ name: 'AccessDenied' });
    await expect(put('tenants/one/../two/x', 'x', limited)).resolves.toBeTruthy();
    expect(String(await read('tenants/two/x'))).toBe('two');
    const copy = { Bucket, Key: 'tenants/one/copy', CopySource: `${Bucket}/tenants/two/x` };
    await expect(limited.send(new CopyObjectCommand(copy))).rejects.toMatchObject({ name: 'AccessDenied' });
    const Delete = { Objects: [{ Key: 'tenants/one/x' }, { Key: 'tenants/two/x' }] };
    await expect(limited.send(new DeleteObjectsCommand({ Bucket, Delete }))).rejects.toMatchObject({
      name: 'AccessDenied',
    });
    await expect(limited.send(new ListBucketsCommand({}))).rejects.toMatchObject({ name: 'AccessDenied' });
  });

  test('lists the prefix that its policy names', async () => {
    const list = (Prefix?: string) => limited.send(new ListObjectsV2Command({ Bucket, Prefix }));
    expect((await list('tenants/one/')).KeyCount).toBeGreaterThan(0);
    await expect(list()).rejects.toMatchObject({ name: 'AccessDenied' });
  });
});

test('what fauxqs would do falsely is refused and changes nothing', async () => {
  await put('kept', 'kept');
  const Tagging = { TagSet: [{ Key: 'a', Value: 'b' }] };
  await expect(s3.send(new PutObjectTaggingCommand({ Bucket, Key: 'kept', Tagging }))).rejects.toMatchObject({
    name: 'NotImplemented',
  });
  await expect(
    s3.send(new PutObjectCommand({ Bucket, Key: 'kept', Body: 'x', Tagging: 'a=b' })),
  ).rejects.toMatchObject({ name: 'NotImplemented' });
  await expect(
    s3.send(new PutObjectCommand({ Bucket, Key: 'kept', Body: 'x', IfNoneMatch: '*' })),
  ).rejects.toMatchObject({ name: 'PreconditionFailed' });
  expect(String(await read('kept'))).toBe('kept');
});

test('of those that create an object at the same time, one does', async () => {
  const creating = Array.from({ length: 5 }, (_, index) =>
    s3.send(new PutObjectCommand({ Bucket, Key: 'lock', Body: String(index), IfNoneMatch: '*' })),
  );
  const ended = await Promise.allSettled(creating);
  expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a bucket that holds objects is not deleted, and a name that S3 refuses is not deployed', async () => {
  const deploy = (logicalId: string, BucketName: string) =>
    fixture.platform.context.deployer.deploy({
      name: logicalId,
      arn: `arn:aws:cloudformation:us-east-1:000000000000:stack/${logicalId}/x`,
      region: 'us-east-1',
      template: { Resources: { [logicalId]: { Type: 'AWS::S3::Bucket', Properties: { BucketName } } } },
      parameters: {},
    });
  await expect(deploy('Odd', 'x_y')).rejects.toThrow(/The specified bucket is not valid/);
  const stack = await deploy('Full', 'full');
  await s3.send(new PutObjectCommand({ Bucket: 'full', Key: 'x', Body: 'x' }));
  const { deployer } = fixture.platform.context;
  await expect(deployer.remove(stack)).rejects.toThrow(/not empty/);
  await s3.send(new DeleteObjectCommand({ Bucket: 'full', Key: 'x' }));
  await deployer.remove(stack);
  const { Buckets } = await s3.send(new ListBucketsCommand({}));
  expect(Buckets?.map(({ Name }) => Name)).toEqual([Bucket]);
});

test('the bucket may be in the host name', async () => {
  await put('hosted/key', 'hosted');
  const get = (host: string) =>
    new Promise<string>((resolve, reject) => {
      const headers = { host, authorization: fixture.authorization('s3') };
      const sent = request(`${fixture.platform.awsUrl}/hosted/key`, { headers }, async (response) => {
        resolve(Buffer.concat(await response.toArray()).toString());
      });
      sent.on('error', reject);
      sent.end();
    });
  for (const host of ['backups.localhost', 'backups.s3.localhost:4566', 'backups.s3.eu-west-1.localhost']) {
    expect(await get(host)).toBe('hosted');
  }
  expect(await get('s3.us-east-1.localhost')).toContain('<Code>NoSuchBucket</Code>');
});

test('objects and unfinished uploads survive a restart', async () => {
  await put('durable', 'durable');
  const Key = 'unfinished';
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const { ETag } = await s3.send(
    new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'part' }),
  );
  await fixture.restart();
  s3 = new S3Client(fixture.client());
  expect(String(await read('durable'))).toBe('durable');
  const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] };
  await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }));
  expect(String(await read(Key))).toBe('part');
});

test('each object is one version, which is listed page by page and deleted under a right of its own', async () => {
  const erasing = new S3Client(fixture.client('Erases'));
  const keys = ['erased/a&b', 'erased/one', 'erased/two'];
  for (const key of [...keys, 'kept/one']) await put(key, key);
  const first = await erasing.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'erased/', MaxKeys: 2 }));
  expect([first.IsTruncated, first.NextKeyMarker, first.NextVersionIdMarker]).toEqual([
    true,
    'erased/one',
    'null',
  ]);
  const second = await erasing.send(
    new ListObjectVersionsCommand({ Bucket, Prefix: 'erased/', KeyMarker: first.NextKeyMarker }),
  );
  const versions = [...(first.Versions ?? []), ...(second.Versions ?? [])];
  expect(versions.map(({ Key, VersionId, Size }) => [Key, VersionId, Size])).toEqual(
    keys.map((key) => [key, 'null', key.length]),
  );
  const objects = versions.map(({ Key, VersionId }) => ({ Key, VersionId }));
  const deleting = (
    Objects: { Key: string | undefined; VersionId?: string | undefined }[],
    client = erasing,
  ) => client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  const denied = { name: 'AccessDenied' };
  await expect(
    erasing.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'kept/' })),
  ).rejects.toMatchObject(denied);
  await expect(deleting([{ Key: 'kept/one', VersionId: 'null' }])).rejects.toMatchObject(denied);
  await expect(deleting([{ Key: 'erased/one' }])).rejects.toMatchObject(denied);
  await expect(deleting([{ Key: 'erased/one', VersionId: 'v1' }], s3)).rejects.toMatchObject({
    name: 'NotImplemented',
  });
  await deleting(objects);
  const { Versions = [] } = await erasing.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'erased/' }));
  expect(Versions).toEqual([]);
  await expect(s3.send(new GetObjectRetentionCommand({ Bucket, Key: 'kept/one' }))).rejects.toMatchObject({
    name: 'NoSuchObjectLockConfiguration',
  });
});
