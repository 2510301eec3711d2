import { S3Client } from '@aws-sdk/client-s3';

/** Like the client of production, for the local endpoint. */
export function clientOf(endpoint: string): S3Client {
  return new S3Client({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
    forcePathStyle: true,
    maxAttempts: 3,
    requestHandler: { requestTimeout: 10_000, socketTimeout: 10_000, throwOnRequestTimeout: true },
  });
}
