import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { CorsConfiguration } from './http-api.ts';

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
