import { type ConditionContext, conditionsHold } from './conditions.ts';
import { asList, matchesWildcard, type PolicyDocument, type Statement } from './policy-document.ts';
import {
  AUTHORIZATION_TABLE,
  authorizationOf,
  hasConditionKey,
  resourceTypeOf,
} from './service-authorization.ts';

export interface AccessRequest {
  /** ARN of the role whose policies are evaluated. */
  roleArn: string;
  /** ARN of the session for error messages. */
  sessionArn: string;
  action: string;
  resource: string;
  context: ConditionContext;
}

export interface Policies {
  identity: PolicyDocument[];
  /** When set, it must allow the request as well. */
  boundary?: PolicyDocument | undefined;
  /** Policy of the resource; a grant to the role itself suffices within one account. */
  resource?: PolicyDocument | undefined;
}

export type Decision =
  | { allowed: true }
  | {
      allowed: false;
      why: 'explicit deny' | 'no identity-based policy' | 'no permissions boundary' | Unknown;
    };

/** Missing knowledge of this evaluator. */
type Unknown = 'unknown action' | 'unknown resource type';

/**
 * Decides like IAM within one account: an explicit deny anywhere wins, then an allow is required, and a permissions
 * boundary must allow too. Anything unknown (an action, a condition operator) is refused.
 */
export function evaluate(asked: AccessRequest, policies: Policies): Decision {
  const request = asAuthorized(asked);
  if (typeof request === 'string') return { allowed: false, why: request };
  const identity = policies.identity.flatMap(statements);
  const boundary = policies.boundary ? statements(policies.boundary) : undefined;
  const resource = policies.resource
    ? statements(policies.resource).filter((statement) => namesPrincipal(statement, request))
    : [];
  const denies = (statement: Statement): boolean =>
    statement.Effect === 'Deny' && applies(statement, request) !== false;
  if ([...identity, ...(boundary ?? []), ...resource].some(denies)) {
    return { allowed: false, why: 'explicit deny' };
  }
  const allows = (statement: Statement): boolean =>
    statement.Effect === 'Allow' && applies(statement, request) === true;
  if (!identity.some(allows) && !resource.some(allows)) {
    return { allowed: false, why: 'no identity-based policy' };
  }
  if (boundary && !boundary.some(allows)) return { allowed: false, why: 'no permissions boundary' };
  return { allowed: true };
}

/** The request with the resource and the condition keys that AWS uses for this action. */
function asAuthorized(request: AccessRequest): AccessRequest | Unknown {
  const authorization = authorizationOf(request.action);
  if (!authorization) return 'unknown action';
  const { types, required } = authorization;
  const type = resourceTypeOf(authorization, request.resource);
  const isAny = types.size === 0 || (request.resource === '*' && required.length === 0);
  if (type === undefined && !isAny) return 'unknown resource type';
  const context = new Map([...request.context].filter(([key]) => hasConditionKey(authorization, type, key)));
  return { ...request, resource: isAny ? '*' : request.resource, context };
}

/** AWS's error message for a refusal; when this evaluator lacks knowledge, it names the file to extend. */
export function refusal(request: AccessRequest, why: Exclude<Decision, { allowed: true }>['why']): string {
  const resource = authorizationOf(request.action)?.types.size === 0 ? '*' : request.resource;
  const sentence = `User: ${request.sessionArn} is not authorized to perform: ${request.action} on resource: ${resource}`;
  if (why === 'explicit deny') return `${sentence} with an explicit deny in an identity-based policy`;
  const isUnknown = why === 'unknown action' || why === 'unknown resource type';
  const missing = isUnknown ? 'no identity-based policy' : why;
  const hint = isUnknown ? ` (locally: ${why}, see ${AUTHORIZATION_TABLE})` : '';
  return `${sentence} because ${missing} allows the ${request.action} action${hint}`;
}

function statements(document: PolicyDocument): Statement[] {
  return asList(document.Statement);
}

/** `unknown` when the result depends on a condition operator that is not supported. */
function applies(statement: Statement, request: AccessRequest): boolean | 'unknown' {
  const { action, resource } = request;
  const byAction = (pattern: string): boolean => matchesWildcard(pattern, action, true);
  const byResource = (pattern: string): boolean => {
    const expanded = expandVariables(pattern, request.context);
    return expanded !== undefined && matchesWildcard(expanded, resource);
  };
  if (statement.Action !== undefined && !asList(statement.Action).some(byAction)) return false;
  if (statement.NotAction !== undefined && asList(statement.NotAction).some(byAction)) return false;
  if (statement.Action === undefined && statement.NotAction === undefined) return false;
  if (statement.Resource !== undefined && !asList(statement.Resource).some(byResource)) return false;
  if (statement.NotResource !== undefined && asList(statement.NotResource).some(byResource)) return false;
  if (statement.Resource === undefined && statement.NotResource === undefined) return false;
  return conditionsHold(statement.Condition, request.context);
}

/** `${aws:PrincipalAccount}` and the like; undefined when the request has no such key. */
function expandVariables(pattern: string, context: ConditionContext): string | undefined {
  if (!pattern.includes('${')) return pattern;
  let missing = false;
  const expanded = pattern.replace(/\$\{([^}]*)\}/g, (_whole, key: string) => {
    const value = context.get(key.toLowerCase())?.[0];
    if (value === undefined) missing = true;
    return value ?? '';
  });
  return missing ? undefined : expanded;
}

/** A grant to the account only allows identity policies to decide, so it matches no principal here. */
function namesPrincipal(statement: Statement, request: AccessRequest): boolean {
  const account = request.roleArn.split(':')[4];
  if (statement.Principal === '*') return true;
  return asList(statement.Principal?.AWS).some(
    (name) =>
      name === '*' ||
      name === request.roleArn ||
      name === request.sessionArn ||
      // A deny to the whole account also applies to its roles.
      (statement.Effect === 'Deny' && name === `arn:aws:iam::${account}:root`),
  );
}
