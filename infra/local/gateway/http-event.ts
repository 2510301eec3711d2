import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { RouteMatch } from './route-table.ts';

/** The parts of a request line, decoded as API Gateway decodes them. */
export interface RequestTarget {
  /** Of the decoded path, without the leading slash. */
  segments: string[];
  rawQueryString: string;
}

/** @returns undefined when the target is not a path with valid percent-encoding */
export function requestTarget(url: string, stage: string): RequestTarget | undefined {
  const origin = /^https?:\/\/[^/?]*/.exec(url)?.[0] ?? '';
  const [path = '', ...query] = url.slice(origin.length).split('?');
  if (!path.startsWith('/')) return undefined;
  const prefix = stage === '$default' ? '' : `/${stage}`;
  try {
    const segments = path.split('/').slice(prefix ? 2 : 1);
    return { segments: segments.map(decodeURIComponent), rawQueryString: query.join('?') };
  } catch {
    return undefined;
  }
}

/** What an authorizer adds to the event. */
export interface JwtContext {
  claims: Record<string, string>;
  scopes: string[] | null;
}

/** A request in payload format 2.0. */
export function httpEvent(
  request: IncomingMessage,
  target: RequestTarget,
  { route, pathParameters }: RouteMatch,
  body: Buffer,
  options: { requestId: string; jwt: JwtContext | undefined; account: string },
): Record<string, unknown> {
  const headers = lowerCaseHeaders(request);
  const cookies = (request.headersDistinct.cookie ?? [])
    .flatMap((line) => line.split(/;\s*/))
    .filter(Boolean);
  const query = queryParameters(target.rawQueryString);
  const rawPath = `/${target.segments.join('/')}`;
  const domainName = (headers.host ?? 'localhost').replace(/:\d+$/, '');
  const sourceIp = (request.socket.remoteAddress ?? '127.0.0.1').replace(/^::ffff:/, '');
  const now = new Date();
  // Bytes that are not UTF-8 would change as text; API Gateway's handling of them is not documented.
  const isText = isTextual(headers['content-type'], headers['content-encoding']) && isUtf8(body);
  return {
    version: '2.0',
    routeKey: route.key,
    rawPath,
    rawQueryString: target.rawQueryString,
    ...(cookies.length > 0 && { cookies }),
    headers: {
      ...headers,
      'x-forwarded-for': headers['x-forwarded-for'] ? `${headers['x-forwarded-for']}, ${sourceIp}` : sourceIp,
      'x-forwarded-port': String(request.socket.localPort ?? ''),
      'x-forwarded-proto': 'http',
    },
    ...(query && { queryStringParameters: query }),
    ...(Object.keys(pathParameters).length > 0 && { pathParameters }),
    requestContext: {
      accountId: options.account,
      apiId: route.api.apiId,
      ...(options.jwt && { authorizer: { jwt: options.jwt } }),
      domainName,
      domainPrefix: domainName.split('.')[0],
      http: {
        method: request.method,
        path: rawPath,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp,
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: options.requestId,
      routeKey: route.key,
      stage: route.api.stage,
      time: commonLogTime(now),
      timeEpoch: now.getTime(),
    },
    ...(body.length > 0 && { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);

function lowerCaseHeaders(request: IncomingMessage): Record<string, string> {
  const headers: [string, string][] = [];
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    if (name !== 'cookie' && !hopByHop.has(name)) headers.push([name, (values ?? []).join(',')]);
  }
  return Object.fromEntries(headers);
}

/** Repeated names are joined by commas. fromEntries also keeps a parameter called `__proto__`. */
function queryParameters(rawQueryString: string): Record<string, string> | undefined {
  if (rawQueryString === '') return undefined;
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(rawQueryString)) {
    const before = values.get(name);
    values.set(name, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(values);
}

/** Everything else, including forms, reaches a function in base64. */
function isTextual(contentType = '', contentEncoding = ''): boolean {
  if (contentEncoding && contentEncoding !== 'identity') return false;
  const type = contentType.split(';')[0]!.trim().toLowerCase();
  return /^text\/|^application\/(?:[\w.-]+\+)?(?:json|xml|javascript)$/.test(type);
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `12/Mar/2020:19:03:58 +0000` */
function commonLogTime(date: Date): string {
  const [day, time] = date.toISOString().split('T') as [string, string];
  const [year, month, dayOfMonth] = day.split('-');
  return `${dayOfMonth}/${months[Number(month) - 1]}/${year}:${time.slice(0, 8)} +0000`;
}
