import type { S3Client } from '@aws-sdk/client-s3';

export interface ObjectLink {
  readonly bucket: string;
  readonly key: string;
  /** Region of the bucket, such as `eu-west-1`; the function's own when absent. */
  readonly awsRegion: string | undefined;
  /** Validity of the link in seconds. */
  readonly seconds: number;
  /** The name under which a browser saves the object. */
  readonly fileName: string;
}

const clients = new Map<string | undefined, Promise<S3Client>>();

function clientOf(awsRegion: string | undefined): Promise<S3Client> {
  let client = clients.get(awsRegion);
  if (!client) {
    client = import('@aws-sdk/client-s3').then(
      ({ S3Client }) => new S3Client(awsRegion === undefined ? {} : { region: awsRegion }),
    );
    clients.set(awsRegion, client);
    client.catch(() => clients.delete(awsRegion));
  }
  return client;
}

/**
 * Signs a URL with which anyone can read the object until it expires, with the rights of this function's role. Signing
 * calls no API; S3 checks the URL when it is used. The URL is invalid earlier if the role's session ends first; the
 * session of a function lasts for hours.
 */
export async function linkToObject({
  bucket,
  key,
  awsRegion,
  seconds,
  fileName,
}: ObjectLink): Promise<string> {
  const [{ GetObjectCommand }, { getSignedUrl }, client] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('@aws-sdk/s3-request-presigner'),
    clientOf(awsRegion),
  ]);
  const command = new GetObjectCommand({
    Bucket: bucket,
    Key: key,
    ResponseContentDisposition: `attachment; filename="${fileName}"`,
  });
  return getSignedUrl(client, command, { expiresIn: seconds });
}
