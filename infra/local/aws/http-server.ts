import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { RequestHandler } from '../model.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { FunctionNetwork } from './function-network.ts';
import { refusalOf } from './trusted-request.ts';
import type { WireResponse } from './wire.ts';

/** Largest request any service takes, in bytes (Lambda's 6 MiB leads). */
const BODY_LIMIT = 8 * 1024 * 1024;

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
  const refusal = refusalOf(request);
  if (refusal !== undefined) {
    request.resume();
    const body = JSON.stringify({ __type: 'AccessDeniedException', message: refusal });
    send(response, { status: 403, headers: { 'content-type': 'application/x-amz-json-1.1' }, body });
    return;
  }
  for (const handler of before) if (await handler(request, response)) return;
  // The path is not parsed as a URL: a client may send two slashes, which would read as a host.
  const [path = '/', search = ''] = (request.url ?? '/').split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  if (!network.reaches(request.headers, query)) {
    // As far as HTTP can tell, there was no connection.
    request.socket.destroy();
    return;
  }
  const body = await readBody(request);
  if (body === undefined) {
    send(response, { status: 413, headers: {}, body: '' });
    return;
  }
  const { method = 'GET', headers } = request;
  send(response, await dispatcher.handle({ method, path, headers, body }, query));
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    // Read to the end all the same, so that the client gets to see the answer.
    if (size <= BODY_LIMIT) chunks.push(chunk as Buffer);
  }
  return size > BODY_LIMIT ? undefined : Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, { status, headers, body }: WireResponse): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
