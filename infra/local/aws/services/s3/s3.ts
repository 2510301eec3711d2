import type { ResourceFactory } from '../../../model.ts';
import { AwsError, ResourceFailure } from '../../errors.ts';
import type { WireRequest } from '../../service.ts';
import {
  type AwsService,
  type Call,
  type Operation,
  type Permission,
  RawResponse,
  type ServiceModule,
} from '../../service.ts';
import type { Fauxqs, FauxqsRequest } from '../fauxqs.ts';
import { RESPONSE_HEADERS, readS3Request, type S3Request } from './s3-request.ts';

/** AWS S3 by fauxqs: buckets, objects, multipart uploads. Without versions, tags, object locks and bucket policies. */
export function s3(fauxqs: Fauxqs): ServiceModule {
  return { service: wire(fauxqs), resources: [bucketResource(fauxqs)], stop: () => fauxqs.close() };
}

/** The resources that a bucket's actions are authorized on. */
const arnOf = (bucket: string, key?: string) => `arn:aws:s3:::${bucket}${key === undefined ? '' : `/${key}`}`;

const onBucket =
  (action: string) =>
  ({ bucket }: S3Request): Permission[] => [{ action, resource: arnOf(bucket) }];

const onObject =
  (...actions: string[]) =>
  ({ bucket, key, source }: S3Request): Permission[] => [
    ...actions.map((action) => ({ action, resource: arnOf(bucket, key) })),
    ...(source ? [{ action: 's3:GetObject', resource: arnOf(source.bucket, source.key) }] : []),
  ];

/** The actions that AWS checks, by operation. */
const PERMISSIONS: Readonly<Record<string, (request: S3Request, body: Buffer) => Permission[]>> = {
  ListBuckets: () => [{ action: 's3:ListAllMyBuckets', resource: '*' }],
  GetBucketLocation: onBucket('s3:GetBucketLocation'),
  HeadBucket: onBucket('s3:ListBucket'),
  ListObjectsV2: ({ bucket, query }) => [
    {
      action: 's3:ListBucket',
      resource: arnOf(bucket),
      context: {
        's3:prefix': query.get('prefix') ?? '',
        ...(query.has('delimiter') && { 's3:delimiter': query.get('delimiter')! }),
        ...(query.has('max-keys') && { 's3:max-keys': query.get('max-keys')! }),
      },
    },
  ],
  ListObjectVersions: ({ bucket, query }) => [
    {
      action: 's3:ListBucketVersions',
      resource: arnOf(bucket),
      context: { 's3:prefix': query.get('prefix') ?? '' },
    },
  ],
  GetObjectRetention: onObject('s3:GetObjectRetention'),
  CreateBucket: onBucket('s3:CreateBucket'),
  DeleteBucket: onBucket('s3:DeleteBucket'),
  GetBucketLifecycleConfiguration: onBucket('s3:GetLifecycleConfiguration'),
  PutBucketLifecycleConfiguration: onBucket('s3:PutLifecycleConfiguration'),
  DeleteBucketLifecycle: onBucket('s3:PutLifecycleConfiguration'),
  DeleteObjects: ({ bucket }, body) =>
    objectsToDelete(body).map(({ key, versionId }) => ({
      action: versionId === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion',
      resource: arnOf(bucket, key),
    })),
  GetObject: onObject('s3:GetObject'),
  HeadObject: onObject('s3:GetObject'),
  GetObjectAttributes: onObject('s3:GetObject', 's3:GetObjectAttributes'),
  PutObject: onObject('s3:PutObject'),
  CopyObject: onObject('s3:PutObject'),
  DeleteObject: onObject('s3:DeleteObject'),
  CreateMultipartUpload: onObject('s3:PutObject'),
  UploadPart: onObject('s3:PutObject'),
  CompleteMultipartUpload: onObject('s3:PutObject'),
  AbortMultipartUpload: onObject('s3:AbortMultipartUpload'),
};

function wire(fauxqs: Fauxqs): AwsService {
  const operation = (name: string): Operation => ({
    permissions: (_input, call) => PERMISSIONS[name]!(s3RequestOf(call), requestOf(call).body),
    run: (_input, call) => forward(fauxqs, s3RequestOf(call), requestOf(call)),
  });
  return {
    signingNames: ['s3'],
    prefix: 's3',
    protocol: { kind: 'rest-xml', operationOf: (request, query) => readS3Request(request, query).operation },
    accessDenied: { code: 'AccessDenied', status: 403 },
    operations: Object.fromEntries(Object.keys(PERMISSIONS).map((name) => [name, operation(name)])),
  };
}

/** S3 is called on the wire only: no workflow and no schedule has it as a target. */
function requestOf({ request }: Call): WireRequest {
  if (!request) throw new AwsError('NotImplemented', 'S3 is offered on the wire only', { status: 501 });
  return request;
}

function s3RequestOf(call: Call): S3Request {
  const request = requestOf(call);
  return readS3Request(request, new URLSearchParams(request.search));
}

async function forward(fauxqs: Fauxqs, asked: S3Request, request: WireRequest): Promise<RawResponse> {
  const { operation, bucket, key, query } = asked;
  const { s3: store } = await fauxqs.stores();
  if (operation === 'GetBucketLocation' && store.buckets.has(bucket)) {
    const body =
      '<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>';
    return new RawResponse(200, { 'content-type': 'application/xml' }, body);
  }
  const objects = store.buckets.get(bucket);
  if (operation === 'ListObjectVersions' && objects) return listVersions(objects, asked);
  if (operation === 'GetObjectRetention' && objects) {
    throw new AwsError(
      'NoSuchObjectLockConfiguration',
      'The specified object does not have an ObjectLock configuration',
      {
        status: 404,
      },
    );
  }
  if (operation === 'DeleteObjects') {
    const other = objectsToDelete(request.body).find(
      ({ versionId = ONLY_VERSION }) => versionId !== ONLY_VERSION,
    );
    if (other) throw new AwsError('NotImplemented', 'The local S3 has no versions.', { status: 501 });
  }
  const ifAbsent = request.headers['if-none-match'] === '*' && CREATES.has(operation);
  const uploadId = query.get('uploadId');
  if (uploadId !== null) {
    const upload = store.multipartUploads.get(uploadId);
    // Permissions were checked for the request's key, so the upload must belong to that key.
    if (upload?.bucket !== bucket || upload.key !== key) {
      throw new AwsError('NoSuchUpload', 'The specified multipart upload does not exist.', { status: 404 });
    }
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === 'string' && !NOT_FORWARDED.has(name)) headers[name] = value;
  }
  const {
    status,
    headers: answered,
    body,
  } = await fauxqs.send({
    method: request.method as FauxqsRequest['method'],
    search: request.search,
    ...(bucket === '' ? {} : { bucket }),
    ...(key === '' ? {} : { key }),
    headers,
    body: request.body,
    ifAbsent,
  });
  if (status === 412 && ifAbsent) {
    const message = 'At least one of the pre-conditions you specified did not hold';
    throw new AwsError('PreconditionFailed', message, { status });
  }
  if (status >= 500) throw new Error(`fauxqs answered ${status} to ${operation}: ${body.toString()}`);
  const { connection: _connection, date: _date, ...kept } = answered;
  if (operation === 'GetObject' && status < 300) {
    for (const [parameter, name] of RESPONSE_HEADERS) {
      const value = query.get(parameter);
      if (value !== null) kept[name] = value;
    }
  }
  return new RawResponse(status, kept, body);
}

/** Operations that make an object. */
const CREATES = new Set(['PutObject', 'CopyObject', 'CompleteMultipartUpload']);

/** The body is passed separately, and the bucket is in the path. */
const NOT_FORWARDED = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'expect']);

interface DeletedObject {
  key: string;
  versionId: string | undefined;
}

/** In the form that fauxqs reads: it takes the keys, and ignores versions. */
function objectsToDelete(body: Buffer): DeletedObject[] {
  const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  const decoded = (text: string) =>
    text.replace(/&(amp|lt|gt|quot|apos);/g, (_whole, name: string) => entities[name]!);
  return [...body.toString().matchAll(/<Object>([\s\S]*?)<\/Object>/g)].map(([, object = '']) => ({
    key: decoded(/<Key>([\s\S]*?)<\/Key>/.exec(object)?.[1] ?? ''),
    versionId: /<VersionId>([\s\S]*?)<\/VersionId>/.exec(object)?.[1],
  }));
}

/** The one version of an object in a bucket without versions. */
const ONLY_VERSION = 'null';
const MAX_KEYS = 1_000;

/** Every object is one version, `null`. */
function listVersions(objects: Map<string, unknown>, { bucket, query }: S3Request): RawResponse {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('key-marker') ?? '';
  const limit = Math.min(Number(query.get('max-keys') ?? MAX_KEYS), MAX_KEYS);
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
  const page = keys.slice(0, limit);
  const isTruncated = keys.length > page.length;
  const versions = page.map((key) => {
    const { contentLength = 0, etag = '', lastModified } = objects.get(key) as StoredObject;
    const at = new Date(lastModified ?? 0).toISOString();
    return `<Version><Key>${escaped(key)}</Key><VersionId>${ONLY_VERSION}</VersionId><IsLatest>true</IsLatest><LastModified>${at}</LastModified><ETag>${escaped(etag)}</ETag><Size>${contentLength}</Size><StorageClass>STANDARD</StorageClass></Version>`;
  });
  const next = isTruncated
    ? `<NextKeyMarker>${escaped(page.at(-1) ?? '')}</NextKeyMarker><NextVersionIdMarker>${ONLY_VERSION}</NextVersionIdMarker>`
    : '';
  return xml(
    `<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket}</Name><Prefix>${escaped(prefix)}</Prefix><MaxKeys>${limit}</MaxKeys><IsTruncated>${isTruncated}</IsTruncated>${next}${versions.join('')}</ListVersionsResult>`,
  );
}

interface StoredObject {
  contentLength?: number;
  etag?: string;
  lastModified?: Date | string;
}

const xml = (body: string): RawResponse =>
  new RawResponse(
    200,
    { 'content-type': 'application/xml' },
    `<?xml version="1.0" encoding="UTF-8"?>\n${body}`,
  );

const escaped = (text: string): string => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

/** `AWS::S3::Bucket`. Its properties for encryption, lifecycle and public access have no effect. */
function bucketResource(fauxqs: Fauxqs): ResourceFactory {
  return {
    type: 'AWS::S3::Bucket',
    async create({ properties, defaultName, stack }) {
      const name = String(properties.BucketName ?? defaultName).toLowerCase();
      if (!/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(name)) {
        throw new ResourceFailure(`The specified bucket is not valid: ${name} (locally, also not with dots)`);
      }
      await fauxqs.declare((stores) => stores.s3.createBucket(name));
      return {
        ref: name,
        attributes: {
          Arn: arnOf(name),
          DomainName: `${name}.s3.amazonaws.com`,
          RegionalDomainName: `${name}.s3.${stack.region}.amazonaws.com`,
        },
      };
    },
    async remove({ ref }) {
      const { s3: store } = await fauxqs.stores();
      if (!store.buckets.has(ref)) return;
      try {
        store.deleteBucket(ref);
      } catch (cause) {
        throw new ResourceFailure(cause instanceof Error ? cause.message : String(cause));
      }
    },
  };
}
