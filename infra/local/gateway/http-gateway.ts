/**
 * The HTTP server in front of all HTTP APIs of one region, whose routes are disjoint.
 *
 * States: listening, answering 503 to everything → serving (after `serve`) → closed. It listens before anything is
 * deployed, so that a busy port is found at once.
 */
import { randomBytes } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { PortBusy, reasonOf, systemCode } from '../errors.ts';
import { type Functions, LOCAL_ACCOUNT, type Log } from '../model.ts';
import { answerOf, type HttpAnswer, refusal } from './http-answer.ts';
import type { CorsConfiguration, HttpApi, HttpRoute } from './http-api.ts';
import { httpEvent, type JwtContext, requestTarget } from './http-event.ts';
import type { JwtAuthorizer } from './jwt-authorizer.ts';
import { RouteTable } from './route-table.ts';

/** API Gateway allows 10,240 bytes of request line and headers together. */
const headerLimit = 10_240;
/** Lambda's limit on an event as JSON, in bytes; API Gateway answers 413 then, too. */
const eventLimit = 6 * 1024 * 1024;

interface Serving {
  routes: RouteTable;
  cors: CorsConfiguration | undefined;
  stage: string;
}

export class HttpGateway {
  readonly #functions: Functions;
  readonly #authorizer: JwtAuthorizer;
  readonly #log: Log;
  readonly #server: Server;
  #serving: Serving | undefined;

  constructor(options: { functions: Functions; authorizer: JwtAuthorizer; log: Log }) {
    this.#functions = options.functions;
    this.#authorizer = options.authorizer;
    this.#log = options.log;
    const listener = (request: IncomingMessage, response: ServerResponse) =>
      void this.#respond(request, response);
    this.#server = createServer({ keepAliveTimeout: 75_000, maxHeaderSize: 16_384 }, listener);
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      if (!isDeclaredTooLarge(request)) response.writeContinue();
      listener(request, response);
    });
    this.#server.on('clientError', (cause, socket) => refuseMalformed(cause, socket as Socket));
  }

  /** @throws {PortBusy} */
  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(systemCode(cause) === 'EADDRINUSE' ? new PortBusy(port, 'API_PORT') : cause),
      );
      this.#server.listen({ port, host: '127.0.0.1' }, () => resolve());
    });
  }

  /** Begins to serve these APIs. */
  serve(apis: HttpApi[]): void {
    const routes = apis.flatMap((api) => api.routes);
    for (const route of routes) {
      if (!route.permitted)
        this.#log(`route ${route.key}: no Lambda permission lets API Gateway invoke its function`);
    }
    this.#serving = {
      routes: new RouteTable(routes),
      cors: apis.find((api) => api.cors)?.cors,
      stage: apis[0]?.stage ?? '$default',
    };
  }

  /** Lets requests in flight end for a moment, then cuts them off. Never rejects. */
  async close(): Promise<void> {
    this.#serving = undefined;
    await new Promise<void>((resolve) => {
      const cut = setTimeout(() => this.#server.closeAllConnections(), 1000);
      this.#server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = `${randomBytes(11).toString('base64').slice(0, 15)}=`;
    let answer: HttpAnswer;
    try {
      answer = await this.#answer(request, requestId);
    } catch (cause) {
      // A client that went away is no error of ours.
      if (request.destroyed && !request.complete) return;
      this.#log(`request ${request.method} ${request.url} failed in the gateway: ${reasonOf(cause)}`);
      answer = refusal(500);
    }
    const cors = this.#serving?.cors;
    const { origin } = request.headers;
    send(response, answer, {
      ...(cors && origin && corsHeaders(cors, origin)),
      'apigw-requestid': requestId,
    });
  }

  async #answer(request: IncomingMessage, requestId: string): Promise<HttpAnswer> {
    const serving = this.#serving;
    if (!serving) return refusal(503, { 'retry-after': '1' });
    if (headerSize(request) > headerLimit) return refusal(431);
    const method = request.method ?? 'GET';
    if (serving.cors && isPreflight(method, request.headers)) {
      return {
        status: 204,
        headers: preflightHeaders(serving.cors, request.headers.origin!),
        body: Buffer.alloc(0),
      };
    }
    const target = requestTarget(request.url ?? '', serving.stage);
    if (!target) return refusal(400);
    const match = serving.routes.match(method, target.segments);
    if (!match) return refusal(404);
    if (isDeclaredTooLarge(request)) return refusal(413);
    let jwt: JwtContext | undefined;
    if (match.route.authorizer) {
      const { authorizer, scopes } = match.route;
      const credential = credentialOf(request, authorizer.identitySource, target.rawQueryString);
      const authorization = await this.#authorizer.authorize(authorizer, scopes, credential);
      if (authorization.kind !== 'authorized') {
        const status = authorization.kind === 'forbidden' ? 403 : 401;
        return refusal(status, { 'www-authenticate': authorization.challenge });
      }
      jwt = { claims: authorization.claims, scopes: authorization.scopes };
    }
    const body = await requestBody(request);
    if (!body) return refusal(413);
    const event = httpEvent(request, target, match, body, { requestId, jwt, account: LOCAL_ACCOUNT });
    // Base64 and JSON's escapes make the event larger than the body.
    if (body.length > eventLimit / 8 && Buffer.byteLength(JSON.stringify(event)) > eventLimit)
      return refusal(413);
    return this.#invoke(match.route, event);
  }

  async #invoke(route: HttpRoute, event: unknown): Promise<HttpAnswer> {
    if (!route.permitted) return refusal(500);
    const invocation = this.#functions.invoke(route.functionArn, event);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, route.timeoutMs, undefined);
    });
    const result = await Promise.race([invocation, timeout]).finally(() => clearTimeout(timer));
    if (!result) return refusal(503);
    if (!result.functionError) return answerOf(result.payload) ?? refusal(500);
    const { errorType, errorMessage } = result.payload as { errorType?: string; errorMessage?: string };
    this.#log(`${route.key}: the function failed with ${errorType}: ${reasonOf(errorMessage)}`);
    return refusal(500);
  }
}

function send(response: ServerResponse, answer: HttpAnswer, extra: OutgoingHttpHeaders): void {
  if (response.destroyed) return;
  try {
    // An answer without a body by definition must not announce its length.
    const length =
      answer.status === 204 || answer.status === 304 ? {} : { 'content-length': answer.body.length };
    response.writeHead(answer.status, { ...answer.headers, ...extra, ...length });
    response.end(answer.body);
  } catch {
    // A function may name headers that HTTP does not allow.
    const { status, headers, body } = refusal(500);
    response.writeHead(status, { ...headers, ...extra, 'content-length': body.length });
    response.end(body);
  }
}

function credentialOf(request: IncomingMessage, source: string, rawQueryString: string): string | undefined {
  const [, place, name = ''] = /^\$request\.(header|querystring)\.(.+)$/.exec(source) ?? [];
  if (place === 'querystring') return new URLSearchParams(rawQueryString).get(name) ?? undefined;
  return request.headersDistinct[name.toLowerCase()]?.join(',');
}

function headerSize(request: IncomingMessage): number {
  return request.rawHeaders.reduce((size, text) => size + text.length + 2, request.url?.length ?? 0);
}

/** What Node's parser does not accept never becomes a request. */
function refuseMalformed(cause: NodeJS.ErrnoException, socket: Socket): void {
  if (cause.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const statuses: Record<string, [number, string]> = {
    HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
    ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
  };
  const [status, text] = statuses[cause.code ?? ''] ?? [400, 'Bad Request'];
  const { body } = refusal(status);
  socket.end(
    `HTTP/1.1 ${status} ${text}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** A browser's question before the real request; API Gateway answers it itself. */
export function isPreflight(method: string, headers: IncomingHttpHeaders): boolean {
  return method === 'OPTIONS' && !!headers.origin && !!headers['access-control-request-method'];
}

/** Headers of the answer to a preflight; empty when the origin is not allowed. */
export function preflightHeaders(cors: CorsConfiguration, origin: string): OutgoingHttpHeaders {
  const headers = corsHeaders(cors, origin);
  if (Object.keys(headers).length === 0) return headers;
  if (cors.AllowMethods?.length) headers['access-control-allow-methods'] = cors.AllowMethods.join(',');
  if (cors.AllowHeaders?.length) headers['access-control-allow-headers'] = cors.AllowHeaders.join(',');
  if (cors.MaxAge !== undefined) headers['access-control-max-age'] = String(cors.MaxAge);
  return headers;
}

/** Headers added to every answer to a request with an Origin, refusals included. */
export function corsHeaders(cors: CorsConfiguration, origin: string): OutgoingHttpHeaders {
  const allowed = cors.AllowOrigins?.find((pattern) => allows(pattern, origin));
  if (!allowed) return {};
  return {
    'access-control-allow-origin': allowed === '*' ? '*' : origin,
    ...(allowed !== '*' && { vary: 'Origin' }),
    ...(cors.AllowCredentials && { 'access-control-allow-credentials': 'true' }),
    ...(cors.ExposeHeaders?.length && { 'access-control-expose-headers': cors.ExposeHeaders.join(',') }),
  };
}

function allows(pattern: string, origin: string): boolean {
  if (pattern === '*' || pattern.toLowerCase() === origin.toLowerCase()) return true;
  return pattern.endsWith('://*') && origin.toLowerCase().startsWith(pattern.slice(0, -1).toLowerCase());
}

/** API Gateway's limit on a request's body, in bytes. */
export const bodyLimit = 10 * 1024 * 1024;

/** @returns undefined when the body is over the limit; what follows is read and dropped */
export async function requestBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (isDeclaredTooLarge(request)) {
    request.resume();
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= bodyLimit) chunks.push(chunk);
      else {
        chunks.length = 0;
        resolve(undefined);
      }
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('error', reject);
  });
}

/** Whether its Content-Length alone is over the limit. */
export function isDeclaredTooLarge(request: IncomingMessage): boolean {
  return Number(request.headers['content-length'] ?? 0) > bodyLimit;
}
