/**
 * The OpenAPI 3.1 document of the API, from what the routes declare: input schemas, access, and the descriptions of their
 * contexts. What every operation of a kind has (tokens, headers, refusals) is stated here once.
 */
import type * as z from 'zod/mini';
import type { MemberRole } from '../../placement/tenant-directory.ts';
import type { DescribedContext, DescribedOperation, RefusalStatus } from './describe-context.ts';
import type {
  OpenApiDocument,
  OperationObject,
  RefusalResponse,
  ResponseObject,
} from './document-objects.ts';
import { type JsonSchema, JsonSchemas } from './json-schema.ts';
import {
  GATEWAY_REFUSAL,
  HEADERS,
  INTRODUCTION,
  PARAMETERS,
  PROBLEM,
  RESPONSES,
  type RefusedStatus,
  refusalOf,
  SECURITY,
} from './shared-parts.ts';

/** @param version of the API. @throws {Error} two schemas have one name, or a body has no schema. */
export function openApiDocument(version: string, contexts: readonly DescribedContext[]): OpenApiDocument {
  const schemas = new JsonSchemas();
  schemas.name('Problem', PROBLEM);
  schemas.name('GatewayRefusal', GATEWAY_REFUSAL);
  const paths: Record<string, Record<string, OperationObject>> = {};
  for (const operation of contexts.flatMap(({ operations }) => operations)) {
    const method = operation.method.toLowerCase();
    paths[operation.path] = { ...paths[operation.path], [method]: operationObject(operation, schemas) };
  }
  return {
    openapi: '3.1.1',
    info: { title: 'Strata', version, description: INTRODUCTION, license: { name: 'UNLICENSED' } },
    servers: [{ url: '/', description: 'The API that serves this document' }],
    tags: contexts.flatMap(({ tags }) =>
      Object.entries(tags).map(([name, description]) => ({ name, description })),
    ),
    paths,
    components: {
      schemas: Object.fromEntries([...schemas.components].sort(([a], [b]) => (a < b ? -1 : 1))),
      parameters: PARAMETERS,
      headers: HEADERS,
      responses: RESPONSES,
      securitySchemes: SECURITY,
    },
  };
}

function operationObject(operation: DescribedOperation, schemas: JsonSchemas): OperationObject {
  const { id, kind, description } = operation;
  const text = [description.description, roleText(operation.access)].filter(Boolean).join('\n\n');
  const body = requestBody(operation, schemas);
  return {
    operationId: id,
    tags: [description.tag],
    summary: description.summary,
    ...(text ? { description: text } : {}),
    security: TOKENS[kind],
    ...(kind === 'operator' ? { servers: [OPERATOR_SERVER] } : {}),
    parameters: parameters(operation, schemas),
    ...(body ? { requestBody: body } : {}),
    responses: { ...successes(operation, schemas), ...refusals(operation) },
  };
}

const TOKENS: Readonly<Record<DescribedOperation['kind'], OperationObject['security']>> = {
  tenant: [{ userToken: [] }, { operatorToken: [] }],
  operator: [{ operatorToken: [] }],
  public: [],
};

const OPERATOR_SERVER = {
  url: '{operatorApi}',
  description: 'The operators’ API',
  variables: {
    operatorApi: {
      default: '/',
      description: 'On AWS the output `OperatorApiUrl` of the stack `Strata-ControlPlane`',
    },
  },
};

const ROLES: Readonly<Record<MemberRole, string>> = {
  viewer: 'Roles: `viewer`, `member`, `admin`.',
  member: 'Roles: `member`, `admin`.',
  admin: 'Role: `admin`.',
};

const roleText = (access: MemberRole | undefined) => access && ROLES[access];

/** True for an operation on one item, whose path ends with the item's id. */
const isOfItem = ({ path }: DescribedOperation) => path.endsWith('}');

function parameters(operation: DescribedOperation, schemas: JsonSchemas): JsonSchema[] {
  const { method, kind, schemas: given } = operation;
  const shared = (name: string) => ({ $ref: `#/components/parameters/${name}` });
  const fromSchema = (place: 'path' | 'query', schema: z.core.$ZodType | undefined) => {
    const { properties = {}, required = [] } = schema ? schemas.ofInput(schema) : {};
    return Object.entries(properties as Record<string, JsonSchema>).map(
      ([name, { description, ...type }]) => ({
        name,
        in: place,
        required: place === 'path' || (required as string[]).includes(name),
        ...(description === undefined ? {} : { description }),
        schema: place === 'query' ? flag(type) : type,
      }),
    );
  };
  return [
    ...fromSchema('path', given.params),
    ...fromSchema('query', given.query),
    ...(kind === 'tenant' ? [shared('TenantId')] : []),
    ...(takesKey(operation) ? [shared('IdempotencyKey')] : []),
    ...(takesMatch(operation) ? [shared('IfMatch')] : []),
    ...(method === 'GET' && hasTag(operation, 200) ? [shared('IfNoneMatch')] : []),
  ];
}

/** A query parameter with the texts `true` and `false` is a boolean for clients. */
function flag(type: JsonSchema): JsonSchema {
  return JSON.stringify(type.enum) === '["true","false"]' ? { type: 'boolean' } : type;
}

const takesKey = ({ method, kind, description }: DescribedOperation) =>
  method === 'POST' && kind !== 'public' && description.idempotencyKey !== false;

const takesMatch = ({ method, kind, description }: DescribedOperation) =>
  (method === 'PATCH' || method === 'DELETE') && kind !== 'public' && description.ifMatch !== false;

function hasTag(operation: DescribedOperation, status: number): boolean {
  const { method, kind, description } = operation;
  if (status === 204) return false;
  if (kind === 'public') return description.etag ?? false;
  return (
    description.etag ??
    (status === 201 || (status === 200 && (method === 'PATCH' || (method === 'GET' && isOfItem(operation)))))
  );
}

const hasLocation = ({ description }: DescribedOperation, status: number) =>
  description.location ?? (status === 201 || status === 202);

function requestBody(
  operation: DescribedOperation,
  schemas: JsonSchemas,
): OperationObject['requestBody'] | undefined {
  const { id, method, schemas: given, description } = operation;
  const schema = description.body ?? given.body;
  if (!schema) return undefined;
  const json = schemas.ofInput(schema);
  if (Object.keys(json).length === 0) throw new Error(`${id}: give the schema that validates its body`);
  const body = { schema: schemas.name(`${pascalCase(id)}Body`, json) };
  return {
    required: !given.bodyMayBeAbsent,
    content: {
      'application/json': body,
      ...(method === 'PATCH' ? { 'application/merge-patch+json': body } : {}),
    },
  };
}

/** `TeamMembersCreate` for `teamMembers.create`. */
const pascalCase = (id: string) =>
  id
    .split('.')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');

const header = (name: string) => ({ $ref: `#/components/headers/${name}` });

function successes(operation: DescribedOperation, schemas: JsonSchemas): Record<string, ResponseObject> {
  const responses: Record<string, ResponseObject> = {};
  for (const [text, schema] of Object.entries(operation.description.answers)) {
    const status = Number(text);
    const headers = {
      'X-Request-Id': header('RequestId'),
      ...(hasTag(operation, status) ? { ETag: header('ETag') } : {}),
      ...(hasLocation(operation, status) ? { Location: header('Location') } : {}),
      ...(takesKey(operation) ? { 'Idempotency-Replayed': header('IdempotencyReplayed') } : {}),
    };
    const mediaType = operation.description.mediaType ?? 'application/json';
    responses[text] = {
      description: SUCCESSES[status] ?? 'Done.',
      headers,
      ...(schema ? { content: { [mediaType]: { schema: schemas.ofAnswer(schema) } } } : {}),
    };
  }
  if (operation.method === 'GET' && hasTag(operation, 200)) {
    responses['304'] = {
      description: 'The client has this version already.',
      headers: { 'X-Request-Id': header('RequestId'), ETag: header('ETag') },
    };
  }
  return responses;
}

const SUCCESSES: Readonly<Record<number, string>> = {
  200: 'The answer.',
  201: 'Created.',
  202: 'Accepted: poll `Location` until the work has ended.',
  204: 'Done.',
};

/** The refusals of an operation: those of its kind and input, and its own. */
function refusals(operation: DescribedOperation): Record<string, RefusalResponse> {
  const { kind, schemas, description } = operation;
  if (kind === 'public') {
    return schemas.params ? { 404: refusalOf(404) } : {};
  }
  const own = description.refusals ?? {};
  const hasBody = schemas.body !== undefined;
  const statuses: readonly [RefusedStatus, boolean][] = [
    [308, kind === 'tenant'],
    // An operator names the tenant; every operation refuses unknown parameters.
    [400, true],
    [401, true],
    [403, true],
    [404, schemas.params !== undefined || kind === 'tenant' || 404 in own],
    [409, 409 in own],
    [412, takesMatch(operation)],
    [413, hasBody],
    [415, hasBody],
    [422, takesKey(operation)],
    [429, true],
    [500, true],
    [503, true],
  ];
  const responses: Record<string, RefusalResponse> = {};
  for (const [status, applies] of statuses) {
    const text = own[status as RefusalStatus];
    if (applies || text) responses[status] = refusalOf(status, text);
  }
  return responses;
}
