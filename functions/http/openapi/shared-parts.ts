/** Parts of the document that all operations share: tokens, headers, problem documents. */
import type { RefusalResponse, ResponseObject } from './document-objects.ts';
import type { JsonSchema } from './json-schema.ts';

export const INTRODUCTION = `One API over three isolation models: a tenant's requests are the same whether its data is in shared tables, in a schema of its own, or in a database of its own.

**Tokens.** Operations of tenants take the JWT of a user of the tenant, or an operator's with the tenant in \`X-Tenant-ID\`. Operations of operators take a JWT with the scope \`strata/operator\`.

**Lists** are pages: \`{ "items": […], "nextCursor": … }\`. Send \`nextCursor\` as \`cursor\` for the next page; it is \`null\` on the last one.

**Versions.** \`ETag\` names the version of a resource. \`If-Match\` on PATCH and DELETE refuses to change another version (412), \`If-None-Match\` on GET answers 304.

**Repeating.** With an \`Idempotency-Key\`, a POST that is sent again within 24 hours gets the first answer.

**Errors** are problem documents (RFC 9457). Their \`type\` is \`urn:strata:problem:<name>\`; \`errors\` names each wrong field by a JSON pointer or each wrong parameter by its name. What the gateway itself refuses (no valid token, missing scope, too many requests) has the gateway's own body, \`{ "message": … }\`.`;

export const PROBLEM: JsonSchema = {
  type: 'object',
  description: 'A problem document of RFC 9457.',
  properties: {
    type: { type: 'string', format: 'uri', pattern: '^urn:strata:problem:[a-z0-9-]+$' },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 300, maximum: 599 },
    detail: { type: 'string' },
    errors: {
      type: 'array',
      description: 'One entry for each error of the input, or for each rule that forbids the request.',
      items: {
        type: 'object',
        properties: {
          pointer: { type: 'string', description: 'JSON pointer (RFC 6901) into the body.' },
          parameter: { type: 'string', description: 'Name of a query parameter or header.' },
          rule: { type: 'string' },
          detail: { type: 'string' },
        },
        required: ['detail'],
      },
    },
  },
  required: ['type', 'title', 'status'],
  additionalProperties: true,
};

export const GATEWAY_REFUSAL: JsonSchema = {
  type: 'object',
  description: 'A refusal of the gateway itself.',
  properties: { message: { type: 'string' } },
  required: ['message'],
};

export const SECURITY: Readonly<Record<string, JsonSchema>> = {
  userToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description:
      'The access token of a user of a tenant: its claim `tenant_id` decides for which tenant a request runs.',
  },
  operatorToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The access token of an operator of the platform, with the scope `strata/operator`.',
  },
};

const text = (description: string, example?: string): JsonSchema => ({
  description,
  schema: { type: 'string' },
  ...(example === undefined ? {} : { example }),
});

export const HEADERS: Readonly<Record<string, JsonSchema>> = {
  RequestId: text('The id of the request in the log.'),
  ETag: text('The version of the resource.', '"q1w2e3r4t5y6u7i8o9p0a1s2d3f"'),
  Location: text('Absolute path of the created resource, or of the one to poll.'),
  OtherRegion: text('URL of the same request in the tenant’s region.'),
  IdempotencyReplayed: text(
    '`true` for the stored answer of an earlier request with the same `Idempotency-Key`.',
  ),
  RetryAfter: { description: 'Seconds after which to send the request again.', schema: { type: 'integer' } },
  RateLimitLimit: {
    description:
      'Requests that the tenant may send at once. Also on the other answers of tenant routes, where the region limits requests.',
    schema: { type: 'integer' },
  },
  RateLimitRemaining: { description: 'Requests that are left of these.', schema: { type: 'integer' } },
  RateLimitReset: { description: 'Seconds until all of them are left again.', schema: { type: 'integer' } },
};

const inHeader = (
  name: string,
  description: string,
  schema: JsonSchema = { type: 'string' },
): JsonSchema => ({
  name,
  in: 'header',
  required: false,
  description,
  schema,
});

export const PARAMETERS: Readonly<Record<string, JsonSchema>> = {
  TenantId: inHeader(
    'X-Tenant-ID',
    'Id or slug of the tenant: required with an operator’s token; with a user’s it may only agree with the token.',
  ),
  IdempotencyKey: inHeader(
    'Idempotency-Key',
    'Makes the request safe to send again for 24 hours: a repetition gets the first answer.',
    { type: 'string', minLength: 1, maxLength: 255 },
  ),
  IfMatch: inHeader('If-Match', 'Changes the resource only if it has one of these versions.'),
  IfNoneMatch: inHeader('If-None-Match', 'Answers 304 if the resource has one of these versions.'),
};

type Bodies = 'problem' | 'gateway' | 'either';

function refusal(
  description: string,
  bodies: Bodies = 'problem',
  headers: Readonly<Record<string, string>> = {},
): ResponseObject {
  const problem = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  const gateway = { 'application/json': { schema: { $ref: '#/components/schemas/GatewayRefusal' } } };
  const named = Object.fromEntries(
    Object.entries(headers).map(([name, component]) => [name, { $ref: `#/components/headers/${component}` }]),
  );
  return {
    description,
    ...(Object.keys(named).length > 0 ? { headers: named } : {}),
    content: {
      ...(bodies === 'gateway' ? {} : problem),
      ...(bodies === 'problem' ? {} : gateway),
    },
  };
}

const later = { 'Retry-After': 'RetryAfter' };
const limited = {
  ...later,
  'RateLimit-Limit': 'RateLimitLimit',
  'RateLimit-Remaining': 'RateLimitRemaining',
  'RateLimit-Reset': 'RateLimitReset',
};

/** By name. */
export const RESPONSES = {
  OtherRegion: refusal('The tenant is in another region.', 'problem', { Location: 'OtherRegion' }),
  Invalid: refusal('The request is not valid: `errors` names each wrong field and parameter.'),
  Unauthorized: refusal('There is no token, or it is not valid.', 'gateway'),
  Forbidden: refusal(
    'The token belongs to another tenant, the role or the scope does not allow it, or the tenant is suspended.',
    'either',
  ),
  NotFound: refusal('There is no such resource.'),
  Conflict: refusal('The request conflicts with what is stored.'),
  OtherVersion: refusal('The resource has another version than `If-Match` names.'),
  TooLarge: refusal('The body is larger than 1 MiB, or a document would be too large.', 'either'),
  UnsupportedMediaType: refusal('The body has another media type, charset or content coding.'),
  KeyReused: refusal('The `Idempotency-Key` was used with another request.'),
  TooManyRequests: refusal('Too many requests.', 'either', limited),
  InternalError: refusal('An error of the platform; the answer has no details.', 'either'),
  Unavailable: refusal('Not at this moment: send the request again after `Retry-After`.', 'either', later),
};

const NAMES = {
  308: 'OtherRegion',
  400: 'Invalid',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  412: 'OtherVersion',
  413: 'TooLarge',
  415: 'UnsupportedMediaType',
  422: 'KeyReused',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'Unavailable',
} as const satisfies Record<number, keyof typeof RESPONSES>;

export type RefusedStatus = keyof typeof NAMES;

/** @param own the operation's own words for it. */
export function refusalOf(status: RefusedStatus, own?: string): RefusalResponse {
  const reference = { $ref: `#/components/responses/${NAMES[status]}` };
  return own === undefined ? reference : { ...reference, description: own };
}
