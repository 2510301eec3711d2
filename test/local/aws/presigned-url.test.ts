/** Presigned URLs as the SDK makes them and plain HTTP uses them: whom they let in, for how long, and what for. */
import { request } from 'node:http';
import { GetObjectCommand, type GetObjectCommandInput, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const Bucket = 'exports';
const Key = "one/Zoë's export (1)+%20?.zip";
let fixture: EndpointFixture;

beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Storage',
      resources: {
        Bucket: { Type: 'AWS::S3::Bucket', Properties: { BucketName: Bucket } },
        ...role('Exporter', [
          { Action: ['s3:GetObject', 's3:PutObject'], Resource: `arn:aws:s3:::${Bucket}/one/*` },
        ]),
      },
    },
  ]);
  const administrator = new S3Client(fixture.client());
  for (const key of [Key, 'two/x', 'one/other']) {
    await administrator.send(new PutObjectCommand({ Bucket, Key: key, Body: `content of ${key}` }));
  }
});
afterAll(() => fixture?.stop());

interface LinkOptions {
  roleName?: string;
  input?: Partial<GetObjectCommandInput>;
  /** In seconds. */
  expiresIn?: number;
  signingDate?: Date;
}

function link({ roleName = 'Exporter', input = {}, expiresIn = 60, signingDate }: LinkOptions = {}) {
  const { credentials, ...options } = fixture.client(roleName);
  // A function's credentials have a token.
  const client = new S3Client({ ...options, credentials: { ...credentials, sessionToken: 'a/b+c=' } });
  const command = new GetObjectCommand({ Bucket, Key, ...input });
  return getSignedUrl(client, command, { expiresIn, ...(signingDate && { signingDate }) });
}

async function answerTo(url: string, init?: RequestInit): Promise<{ status: number; text: string }> {
  const response = await fetch(url, init);
  return { status: response.status, text: await response.text() };
}

/** The status of a GET over a connection of its own, with any headers. */
const get = (url: string, headers: Record<string, string> = {}) =>
  new Promise<number | undefined>((resolve, reject) => {
    const sent = request(url, { headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on('error', reject);
    sent.end();
  });

/** A refusal of S3. */
const refused = (status: number, code: string, message = '') => ({
  status,
  text: expect.stringMatching(new RegExp(`<Code>${code}</Code>.*<Message>.*${message}`, 's')),
});

/** The URL with a query parameter changed. */
function changed(url: string, name: string, value: string | undefined): string {
  const altered = new URL(url);
  if (value === undefined) altered.searchParams.delete(name);
  else altered.searchParams.set(name, value);
  return altered.href;
}

const secondsAgo = (seconds: number) => new Date(Date.now() - seconds * 1000);

describe('a presigned URL', () => {
  test('gets its object without other credentials, as the file that it names', async () => {
    const url = await link({
      input: { ResponseContentDisposition: 'attachment; filename="export.zip"', ResponseContentType: 'a/b' },
    });
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(`content of ${Key}`);
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="export.zip"');
    expect(response.headers.get('content-type')).toBe('a/b');
  });

  test('gets a part of it, which the signer need not have known', async () => {
    expect(await answerTo(await link(), { headers: { range: 'bytes=0-6' } })).toEqual({
      status: 206,
      text: 'content',
    });
  });

  test('is good until it expires, and not for a second longer', async () => {
    const half = await link({ expiresIn: 60, signingDate: secondsAgo(30) });
    expect(await answerTo(half)).toMatchObject({ status: 200 });
    const expired = await link({ expiresIn: 60, signingDate: secondsAgo(62) });
    expect(await answerTo(expired)).toEqual(refused(403, 'AccessDenied', 'Request has expired'));
    const longer = changed(expired, 'X-Amz-Expires', '3600');
    expect(await answerTo(longer)).toEqual(refused(403, 'SignatureDoesNotMatch'));
    const ofNow = (await link()).match(/X-Amz-Date=(\w+)/)![1]!;
    expect(await answerTo(changed(expired, 'X-Amz-Date', ofNow))).toEqual(
      refused(403, 'SignatureDoesNotMatch'),
    );
  });

  test('outlives a restart of the platform', async () => {
    const url = await link();
    await fixture.restart();
    expect(await get(url)).toBe(200);
    expect(await get(changed(url, 'X-Amz-Expires', '61'))).toBe(403);
  });

  test('does nothing else than what was signed', async () => {
    const url = await link();
    const altered = [
      url.replace('/one/', '/two/'),
      url.replace('/exports/', '/other/'),
      changed(url, 'response-content-type', 'text/html'),
      changed(url, 'partNumber', '1'),
      `${url}&response-content-type=text/html`,
      changed(url, 'X-Amz-Signature', '0'.repeat(64)),
      changed(url, 'X-Amz-Signature', 'x'),
      changed(url, 'X-Amz-Security-Token', 'another'),
      url.replace('127.0.0.1', 'localhost'),
    ];
    for (const one of altered) {
      expect(one).not.toBe(url);
      expect(await answerTo(one)).toEqual(refused(403, 'SignatureDoesNotMatch'));
    }
    for (const method of ['PUT', 'DELETE']) {
      expect(await answerTo(url, { method })).toEqual(refused(403, 'SignatureDoesNotMatch'));
    }
    const source = { 'x-amz-copy-source': `${Bucket}/two/x` };
    expect(await answerTo(url, { headers: source })).toEqual(refused(403, 'AccessDenied', 'not signed'));
  });

  test('is not repaired by a second signature, nor by leaving parameters out', async () => {
    const url = await link();
    const headers = { authorization: fixture.authorization('s3') };
    expect(await answerTo(url, { headers })).toEqual(refused(400, 'InvalidArgument', 'Only one auth'));
    for (const name of ['Algorithm', 'Date', 'SignedHeaders', 'Expires', 'Signature']) {
      expect(await answerTo(changed(url, `X-Amz-${name}`, undefined))).toEqual(
        refused(400, 'AuthorizationQueryParametersError', 'requires the'),
      );
    }
    const odd: [string, string][] = [
      ['X-Amz-Algorithm', 'none'],
      ['X-Amz-Date', 'yesterday'],
      ['X-Amz-Date', '20200101T000000Z'],
      ['X-Amz-Expires', '-1'],
      ['X-Amz-Expires', '604801'],
    ];
    for (const [name, value] of odd) {
      expect(await answerTo(changed(url, name, value))).toEqual(
        refused(400, 'AuthorizationQueryParametersError'),
      );
    }
    const tomorrow = await link({ signingDate: secondsAgo(-24 * 60 * 60) });
    expect(await answerTo(tomorrow)).toEqual(refused(403, 'AccessDenied', 'not valid yet'));
  });

  test('lets nobody do what its signer may not', async () => {
    expect(await answerTo(await link({ input: { Key: 'two/x' } }))).toEqual(
      refused(403, 'AccessDenied', 'not authorized to perform: s3:GetObject'),
    );
    expect(await answerTo(await link({ input: { Key: 'one/none' } }))).toEqual(refused(404, 'NoSuchKey'));
  });

  test('of an upload takes an upload', async () => {
    const client = new S3Client(fixture.client('Exporter'));
    const url = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: 'one/uploaded' }));
    expect(await answerTo(url, { method: 'PUT', body: 'uploaded' })).toMatchObject({ status: 200 });
    expect((await answerTo(await link({ input: { Key: 'one/uploaded' } }))).text).toBe('uploaded');
  });

  test('may be clicked on a web page, where other requests of pages are not taken', async () => {
    const click = { 'sec-fetch-site': 'cross-site' };
    const url = await link();
    expect(await get(url, click)).toBe(200);
    expect(await get(changed(url, 'X-Amz-Signature', '0'.repeat(64)), click)).toBe(403);
    expect(await get(url, { ...click, origin: 'https://a.test' })).toBe(403);
    const administrators = new S3Client(fixture.client());
    const command = new GetObjectCommand({ Bucket, Key });
    expect(await get(await getSignedUrl(administrators, command), click)).toBe(403);
  });
});

test('of an administrator’s presigned URL the expiry is checked: his secret is of his own choice', async () => {
  const client = new S3Client(fixture.client());
  const command = new GetObjectCommand({ Bucket, Key });
  expect(await answerTo(await getSignedUrl(client, command))).toMatchObject({ status: 200 });
  const expired = await getSignedUrl(client, command, { expiresIn: 60, signingDate: secondsAgo(62) });
  expect(await answerTo(expired)).toEqual(refused(403, 'AccessDenied', 'Request has expired'));
});
