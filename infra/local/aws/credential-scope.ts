import type { IncomingHttpHeaders } from 'node:http';

/** What a SigV4 signature says about who calls what where. The signature is verified of presigned URLs only. */
export interface CredentialScope {
  accessKeyId: string;
  region: string;
  service: string;
}

/** Reads the Authorization header or a presigned URL; undefined when the request is not signed. */
export function credentialScope(
  headers: IncomingHttpHeaders,
  query: URLSearchParams,
): CredentialScope | undefined {
  const credential =
    /Credential=([^,\s]+)/.exec(headers.authorization ?? '')?.[1] ?? query.get('X-Amz-Credential') ?? '';
  // An access key never contains a slash, but the five parts are checked strictly anyway.
  const [accessKeyId, date, region, service, terminator] = credential.split('/');
  if (!accessKeyId || !date || !region || !service || terminator !== 'aws4_request') return undefined;
  return { accessKeyId, region, service };
}
