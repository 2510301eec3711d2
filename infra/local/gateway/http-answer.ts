import type { OutgoingHttpHeaders } from 'node:http';

/** The answer to the client. */
export interface HttpAnswer {
  status: number;
  headers: OutgoingHttpHeaders;
  body: Buffer;
}

/** API Gateway's own refusals, in its words. */
export function refusal(status: number, headers: OutgoingHttpHeaders = {}): HttpAnswer {
  const body = Buffer.from(JSON.stringify({ message: messages[status] ?? 'Internal Server Error' }));
  return { status, headers: { 'content-type': 'application/json', ...headers }, body };
}

const messages: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  413: 'Request Entity Too Large',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Set by the gateway, whatever a function returns. */
const ownHeaders = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'trailer',
]);

/**
 * A function's result of payload format 2.0 as an answer. A result without `statusCode` is the JSON body itself.
 * @returns undefined when API Gateway would not accept it (a 500 there)
 */
export function answerOf(result: unknown): HttpAnswer | undefined {
  if (result === null || typeof result !== 'object' || !('statusCode' in result)) {
    const body = typeof result === 'string' ? result : JSON.stringify(result);
    return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(body) };
  }
  const { statusCode, headers = {}, cookies, body = '', isBase64Encoded } = result as Record<string, unknown>;
  const status = Number(statusCode);
  if (!Number.isInteger(status) || status < 200 || status > 599) return undefined;
  if (headers === null || typeof headers !== 'object') return undefined;
  if (cookies !== undefined && !Array.isArray(cookies)) return undefined;
  if (body !== null && typeof body !== 'string') return undefined;
  const outgoing: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!ownHeaders.has(name.toLowerCase())) outgoing[name.toLowerCase()] = String(value);
  }
  if (body) outgoing['content-type'] ??= 'text/plain; charset=utf-8';
  if (cookies?.length) outgoing['set-cookie'] = cookies.map(String);
  return {
    status,
    headers: outgoing,
    body: Buffer.from(body ?? '', isBase64Encoded === true ? 'base64' : 'utf8'),
  };
}
