import type { ApiEvent } from '../../functions/http/api-event.ts';

export interface ApiEventParts {
  readonly routeKey: string;
  readonly claims: Record<string, string>;
  readonly rawPath?: string;
  readonly rawQueryString?: string;
  readonly host?: string;
  readonly headers?: Record<string, string>;
  readonly pathParameters?: Record<string, string> | undefined;
  readonly query?: Record<string, string> | undefined;
  readonly body?: object | undefined;
}

/** A request as API Gateway hands it over after it has verified the token. */
export function apiEvent(parts: ApiEventParts): ApiEvent {
  const [method = 'GET', path = '/'] = parts.routeKey.split(' ');
  const rawPath = parts.rawPath ?? path;
  return {
    version: '2.0',
    routeKey: parts.routeKey,
    rawPath,
    rawQueryString: parts.rawQueryString ?? '',
    headers: { 'content-type': 'application/json', ...parts.headers },
    ...(parts.pathParameters ? { pathParameters: parts.pathParameters } : {}),
    ...(parts.query ? { queryStringParameters: parts.query } : {}),
    ...(parts.body ? { body: JSON.stringify(parts.body) } : {}),
    isBase64Encoded: false,
    requestContext: {
      accountId: '000000000000',
      apiId: 'api',
      requestId: 'request',
      routeKey: parts.routeKey,
      stage: '$default',
      domainName: parts.host ?? 'us.api.test',
      domainPrefix: 'us',
      time: '',
      timeEpoch: 0,
      authorizer: { principalId: '', integrationLatency: 0, jwt: { claims: parts.claims, scopes: [] } },
      http: { method, path: rawPath, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'test' },
    },
  };
}
