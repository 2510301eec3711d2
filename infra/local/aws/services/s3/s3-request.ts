import type { IncomingHttpHeaders } from 'node:http';
import { AwsError } from '../../errors.ts';
import type { WireRequest } from '../../service.ts';

/** Operation, bucket and key of a request for S3. */
export interface S3Request {
  operation: string;
  bucket: string;
  /** Decoded; empty for operations of the bucket itself. */
  key: string;
  query: URLSearchParams;
  /** The source of a copy. */
  source?: { bucket: string; key: string };
}

/** Headers of an answer to GetObject, by the query parameter that sets them: a presigned URL names a file that way. */
export const RESPONSE_HEADERS: ReadonlyMap<string, string> = new Map(
  [
    'cache-control',
    'content-disposition',
    'content-encoding',
    'content-language',
    'content-type',
    'expires',
  ].map((name) => [`response-${name}`, name]),
);

interface Row {
  operation: string;
  /** Query parameters that select the operation. */
  selects?: string[];
  /** Further allowed ones. */
  takes?: string[];
}

/**
 * By method and whether there is a key. The first row applies whose selecting parameters the request has. Parameters
 * outside of the row are refused: fauxqs would ignore them and do something else, such as overwrite an object with its
 * tags.
 */
const OPERATIONS: Readonly<Record<string, readonly Row[]>> = {
  'GET bucket': [
    { operation: 'GetBucketLocation', selects: ['location'] },
    { operation: 'GetBucketLifecycleConfiguration', selects: ['lifecycle'] },
    {
      operation: 'ListObjectVersions',
      selects: ['versions'],
      takes: ['prefix', 'max-keys', 'key-marker', 'version-id-marker', 'encoding-type'],
    },
    {
      operation: 'ListObjectsV2',
      takes: [
        'list-type',
        'prefix',
        'delimiter',
        'max-keys',
        'marker',
        'start-after',
        'continuation-token',
        'encoding-type',
        'fetch-owner',
      ],
    },
  ],
  'HEAD bucket': [{ operation: 'HeadBucket' }],
  'PUT bucket': [
    { operation: 'PutBucketLifecycleConfiguration', selects: ['lifecycle'] },
    { operation: 'CreateBucket' },
  ],
  'DELETE bucket': [
    { operation: 'DeleteBucketLifecycle', selects: ['lifecycle'] },
    { operation: 'DeleteBucket' },
  ],
  'POST bucket': [{ operation: 'DeleteObjects', selects: ['delete'] }],
  'GET object': [
    { operation: 'GetObjectRetention', selects: ['retention'], takes: ['versionId'] },
    { operation: 'GetObjectAttributes', selects: ['attributes'] },
    { operation: 'GetObject', takes: ['partNumber', ...RESPONSE_HEADERS.keys()] },
  ],
  'HEAD object': [{ operation: 'HeadObject' }],
  'PUT object': [
    { operation: 'UploadPart', selects: ['uploadId', 'partNumber'] },
    { operation: 'PutObject' },
  ],
  'DELETE object': [
    { operation: 'AbortMultipartUpload', selects: ['uploadId'] },
    { operation: 'DeleteObject' },
  ],
  'POST object': [
    { operation: 'CreateMultipartUpload', selects: ['uploads'] },
    { operation: 'CompleteMultipartUpload', selects: ['uploadId'] },
  ],
};

/** Parameters of presigned URLs and of the SDK. */
const WITHOUT_EFFECT =
  /^(?:x-id|x-amz-(?:algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256|sdk-.*|checksum-.*))$/i;

/** Headers that change what a request means and that fauxqs ignores. */
const REFUSED_HEADERS = [
  'x-amz-tagging',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-legal-hold',
  'x-amz-copy-source-if-match',
  'x-amz-copy-source-if-none-match',
  'x-amz-write-offset-bytes',
];

/** @throws {AwsError} NotImplemented for unsupported requests, InvalidURI for an unreadable path */
export function readS3Request({ method, path, headers }: WireRequest, query: URLSearchParams): S3Request {
  const hosted = bucketOfHost(headers.host);
  const [first = '', ...rest] = hosted === undefined ? path.slice(1).split('/') : [hosted, path.slice(1)];
  const bucket = decoded(first);
  const key = decoded(rest.join('/'));
  if (bucket === '') {
    if (method !== 'GET') throw notImplemented(`${method} /`);
    return { operation: 'ListBuckets', bucket, key, query };
  }
  const rows = OPERATIONS[`${method} ${key === '' ? 'bucket' : 'object'}`] ?? [];
  const row = rows.find(({ selects = [] }) => selects.every((name) => query.has(name)));
  if (!row) throw notImplemented(`${method} of ${key === '' ? 'a bucket' : 'an object'}`);
  const known = [...(row.selects ?? []), ...(row.takes ?? [])];
  const unknown = [...query.keys()].find((name) => !known.includes(name) && !WITHOUT_EFFECT.test(name));
  if (unknown !== undefined) throw notImplemented(`${method} with ?${unknown}`);
  const refused = REFUSED_HEADERS.find((name) => headers[name] !== undefined);
  if (refused !== undefined) throw notImplemented(`the header ${refused}`);
  if (row.operation === 'PutObject' && headers['if-match'] !== undefined) {
    throw notImplemented('PutObject with If-Match');
  }
  const source = sourceOf(headers);
  const operation = row.operation === 'PutObject' && source ? 'CopyObject' : row.operation;
  return { operation, bucket, key, query, ...(source && { source }) };
}

/** `bucket.localhost`, `bucket.s3.localhost` and `bucket.s3.<region>.localhost`; undefined for path-style requests. */
function bucketOfHost(host = ''): string | undefined {
  const [, below] = /^(.+)\.localhost\.?(?::\d+)?$/i.exec(host) ?? [];
  if (below === undefined || /^s3(?:\.[a-z0-9-]+)?$/i.test(below)) return undefined;
  return below.replace(/\.s3(?:\.[a-z0-9-]+)?$/i, '');
}

function sourceOf(headers: IncomingHttpHeaders): S3Request['source'] {
  const header = headers['x-amz-copy-source'];
  if (typeof header !== 'string') return undefined;
  const [bucket = '', ...key] = decoded(header).replace(/^\//, '').split('/');
  if (bucket === '' || key.length === 0 || header.includes('?')) {
    throw notImplemented(`the copy source ${header}`);
  }
  return { bucket, key: key.join('/') };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AwsError('InvalidURI', "Couldn't parse the specified URI.");
  }
}

function notImplemented(what: string): AwsError {
  return new AwsError('NotImplemented', `The local S3 does not offer ${what}.`, { status: 501 });
}
