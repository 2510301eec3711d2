import { AwsError } from './errors.ts';
import {
  decodeJson,
  encodeJson,
  encodeJsonError,
  encodeRestJsonError,
  matchRoute,
  targetOperation,
} from './protocols/json.ts';
import {
  decodeQuery,
  encodeQueryError,
  encodeQueryResult,
  encodeRestXmlError,
} from './protocols/query-xml.ts';
import type { AwsService, WireRequest } from './service.ts';

export interface WireResponse {
  status: number;
  headers: Record<string, string>;
  body: string | Buffer;
}

/**
 * The protocol of one request: a client may choose among several protocols of a service (metrics use JSON, a form or
 * CBOR), so the request decides, not the service.
 */
export type Dialect = 'json' | 'query' | 'cbor' | 'rest-json' | 'rest-xml';

export function dialectOf(request: WireRequest, service: AwsService | undefined): Dialect {
  if (service?.protocol.kind === 'rest-xml') return 'rest-xml';
  if (request.headers['smithy-protocol'] === 'rpc-v2-cbor') return 'cbor';
  if (request.headers['x-amz-target'] !== undefined) return 'json';
  if (/^application\/x-www-form-urlencoded/.test(request.headers['content-type'] ?? '')) return 'query';
  return 'rest-json';
}

/** @throws {AwsError} when the request names no operation or cannot be read */
export function decodeRequest(
  dialect: Dialect,
  service: AwsService,
  request: WireRequest,
  query: URLSearchParams,
): { operation: string; members: Record<string, unknown> } {
  switch (dialect) {
    case 'json':
      return {
        operation: targetOperation(String(request.headers['x-amz-target'])),
        members: decodeJson(request.body.toString('utf8')),
      };
    case 'query':
      return decodeQuery(request.body.toString('utf8'));
    case 'cbor':
      // Only telemetry uses it, and it is dropped unread.
      return { operation: request.path.slice(request.path.lastIndexOf('/') + 1), members: {} };
    case 'rest-json': {
      const routes = service.protocol.kind === 'rest-json' ? service.protocol.routes : [];
      const body = request.body.toString('utf8');
      const match = matchRoute(routes, request.method, request.path, body, query);
      if (!match)
        throw new AwsError('UnknownOperationException', `No operation at ${request.method} ${request.path}`, {
          status: 404,
        });
      return match;
    }
    case 'rest-xml': {
      const { protocol } = service;
      if (protocol.kind !== 'rest-xml') throw new Error('not a REST-XML service');
      return { operation: protocol.operationOf(request, query), members: {} };
    }
  }
}

export function encodeResponse(
  dialect: Dialect,
  service: AwsService,
  answer: { operation: string; result: unknown; requestId: string },
): WireResponse {
  switch (dialect) {
    case 'json':
      return { status: 200, headers: jsonType(service), body: encodeJson(answer.result) };
    case 'query': {
      const { namespace, items } = queryOptions(service);
      const options = { namespace, items, requestId: answer.requestId };
      return { status: 200, headers: XML, body: encodeQueryResult(answer.operation, answer.result, options) };
    }
    case 'cbor':
      // An empty map.
      return { status: 200, headers: CBOR, body: Buffer.from([0xa0]) };
    case 'rest-json':
      return { status: 200, headers: JSON_TYPE, body: encodeJson(answer.result) };
    case 'rest-xml':
      throw new Error('REST-XML services answer with raw responses');
  }
}

export function encodeError(
  dialect: Dialect,
  service: AwsService | undefined,
  error: AwsError,
  requestId: string,
): WireResponse {
  const { status } = error;
  switch (dialect) {
    case 'query':
      return {
        status,
        headers: XML,
        body: encodeQueryError(error, queryOptions(service).namespace, requestId),
      };
    case 'json':
      return { status, headers: jsonType(service), body: encodeJsonError(error) };
    case 'cbor':
      return { status, headers: { 'x-amzn-errortype': error.code, ...CBOR }, body: Buffer.from([0xa0]) };
    case 'rest-json': {
      const { headers, body } = encodeRestJsonError(error);
      return { status, headers: { ...JSON_TYPE, ...headers }, body };
    }
    case 'rest-xml':
      return {
        status,
        headers: { 'content-type': 'application/xml' },
        body: encodeRestXmlError(error, requestId),
      };
  }
}

const XML = { 'content-type': 'text/xml' };
const JSON_TYPE = { 'content-type': 'application/json' };
const CBOR = { 'content-type': 'application/cbor', 'smithy-protocol': 'rpc-v2-cbor' };

function jsonType(service: AwsService | undefined): Record<string, string> {
  const version = service?.protocol.kind === 'json' ? service.protocol.version : '1.1';
  return { 'content-type': `application/x-amz-json-${version}` };
}

function queryOptions(service: AwsService | undefined): {
  namespace: string;
  items?: Record<string, string>;
} {
  return service?.protocol.kind === 'query' ? service.protocol : { namespace: 'http://amazonaws.com/' };
}
