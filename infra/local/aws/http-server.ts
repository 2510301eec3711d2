import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { RequestHandler } from '../model.ts';
import { credentialScope } from './credential-scope.ts';
import type { Dispatcher } from './dispatcher.ts';
import { AwsError } from './errors.ts';
import type { FunctionNetwork } from './function-network.ts';
import { encodeRestXmlError } from './protocols/query-xml.ts';
import type { WireResponse } from './wire.ts';

/** Largest request that services accept, in bytes (Lambda's 6 MiB is the largest of their limits). */
const BODY_LIMIT = 8 * 1024 * 1024;
/** For S3, whose own limit is 5 GiB: an object is in memory while it is stored. Larger ones are uploaded in parts. */
const OBJECT_LIMIT = 64 * 1024 * 1024;

/** The HTTP server of the endpoint, on loopback. */
export function awsHttpServer(
  dispatcher: Dispatcher,
  before: RequestHandler[],
  network: FunctionNetwork,
): Server {
  const server = createServer((request, response) => {
    respond({ dispatcher, before, network }, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  // SDK clients keep connections open between calls; a server that closes them first makes calls fail.
  server.keepAliveTimeout = 120_000;
  server.requestTimeout = 0;
  return server;
}

async function respond(
  {
    dispatcher,
    before,
    network,
  }: { dispatcher: Dispatcher; before: RequestHandler[]; network: FunctionNetwork },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // The path is not parsed as a URL: a client may send two slashes, which would read as a host.
  const [path = '/', search = ''] = (request.url ?? '/').split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  const { method = 'GET', headers } = request;
  const isLink = method === 'GET' && dispatcher.isPresignedByRole({ headers, query });
  // An object of S3 may be named like a page; its requests are signed.
  const isPage = SIGN_IN_PAGE.test(path) && credentialScope(headers, query) === undefined;
  const refusal = refusalOf(request, isLink, isPage);
  if (refusal !== undefined) {
    request.resume();
    const body = JSON.stringify({ __type: 'AccessDeniedException', message: refusal });
    send(response, { status: 403, headers: { 'content-type': 'application/x-amz-json-1.1' }, body });
    return;
  }
  // A link is of an object and nothing else: a page's request gets no further than that.
  for (const handler of isLink ? [] : before) if (await handler(request, response)) return;
  if (isPage) {
    request.resume();
    send(response, { status: 404, headers: {}, body: '' });
    return;
  }
  if (!network.reaches(request.headers, query)) {
    // The closest HTTP equivalent of a refused connection.
    request.socket.destroy();
    return;
  }
  const isObject = credentialScope(headers, query)?.service === 's3';
  const body = await readBody(request, isObject ? OBJECT_LIMIT : BODY_LIMIT);
  if (body === undefined) {
    const tooLarge = `The local S3 takes ${OBJECT_LIMIT} bytes in one request: upload in parts.`;
    const answer = encodeRestXmlError(new AwsError('EntityTooLarge', tooLarge), randomUUID());
    send(
      response,
      isObject ? { status: 400, headers: XML, body: answer } : { status: 413, headers: {}, body: '' },
    );
    return;
  }
  send(response, await dispatcher.handle({ method, path, search, headers, body }, query));
}

/** What a person's browser shows: the pages of the user pools' sign-in. */
const SIGN_IN_PAGE = /^\/[\w-]+\/(?:oauth2\/authorize|login|logout)$/;

const XML = { 'content-type': 'application/xml' };

async function readBody(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    // Read to the end, so that the client receives the answer.
    if (size <= limit) chunks.push(chunk as Buffer);
  }
  return size > limit ? undefined : Buffer.concat(chunks);
}

function send(response: ServerResponse, { status, headers, body }: WireResponse): void {
  // The answer to HEAD has the length of the missing body.
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
  response.end(body);
}

/**
 * Why a request is not taken, or undefined. Signatures are hardly ever verified here, so every client that reaches the endpoint is an
 * administrator: it must be a program on this machine, not a web page in its browser. A page's requests carry `Origin`
 * or `Sec-Fetch-Site`; one that has its own name resolve to this machine (DNS rebinding) names a foreign `Host`.
 * @param isLink a presigned URL, whose signature is verified: a page may have it for people to click on
 * @param isPage a page of the sign-in: a browser comes there from any page, and sends its form from there only
 */
export function refusalOf(
  { headers, method }: Pick<IncomingMessage, 'headers'> & { readonly method?: string | undefined },
  isLink = false,
  isPage = false,
): string | undefined {
  const { origin, host } = headers;
  const isOwnForm = isPage && origin !== undefined && host !== undefined && origin === `http://${host}`;
  if (origin !== undefined && !isOwnForm) return 'requests of web pages (with an Origin) are not taken';
  const site = headers['sec-fetch-site'];
  const isVisit =
    isPage && (site === 'same-origin' || (method === 'GET' && headers['sec-fetch-mode'] === 'navigate'));
  if (site !== undefined && site !== 'none' && !isLink && !isVisit)
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
