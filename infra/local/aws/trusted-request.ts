import type { IncomingMessage } from 'node:http';

/**
 * Why a request is not taken, or undefined. Signatures are not verified here, so every client that reaches the endpoint is an
 * administrator: it must be a program on this machine, not a web page in its browser. A page's requests carry `Origin`
 * or `Sec-Fetch-Site`; one that has its own name resolve to this machine (DNS rebinding) names a foreign `Host`.
 */
export function refusalOf({ headers }: Pick<IncomingMessage, 'headers'>): string | undefined {
  if (headers.origin !== undefined) return 'requests of web pages (with an Origin) are not taken';
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'none')
    return 'requests of web pages (with Sec-Fetch-Site) are not taken';
  return isThisMachine(headers.host) ? undefined : 'the Host is not this machine';
}

/** `localhost` and names below it (S3 puts the bucket there), and the loopback addresses. */
function isThisMachine(host: string | undefined): boolean {
  return (
    host !== undefined &&
    /^(?:(?:[a-z0-9_.-]+\.)?localhost\.?|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i.test(host)
  );
}
