import { LOCAL_ACCOUNT, type PlatformContext } from '../../model.ts';
import type { Permission, Principal } from '../service.ts';
import { conditionContext } from './conditions.ts';
import { type AccessRequest, evaluate, refusal } from './evaluator.ts';
import type { PolicyDocument } from './policy-document.ts';
import { RolePolicies } from './role-policies.ts';
import { AUTHORIZATION_TABLE, authorizationOf, resourceTypeOf } from './service-authorization.ts';

/** Identifies the signer of a request and checks that principal's permissions. */
export class Authorizer {
  readonly #context: PlatformContext;
  readonly #policies: RolePolicies;

  constructor(context: PlatformContext) {
    this.#context = context;
    this.#policies = new RolePolicies(context.stacks, context.log);
  }

  principal(accessKeyId: string): Principal {
    const owner = this.#context.principals.byAccessKey(accessKeyId);
    return owner === 'administrator' ? ADMINISTRATOR : this.session(owner.roleArn);
  }

  /** Of a role's access key; undefined for the ones of administrators, which are of their own choice. */
  secretAccessKey(accessKeyId: string): string | undefined {
    const { principals } = this.#context;
    const owner = principals.byAccessKey(accessKeyId);
    return owner === 'administrator' ? undefined : principals.accessKeyFor(owner.roleArn).secretAccessKey;
  }

  /** The principal that a service is when it acts with a role. */
  session(roleArn: string, sessionName?: string): Principal {
    const roleName = roleArn.slice(roleArn.lastIndexOf('/') + 1);
    const session =
      sessionName ?? this.#context.functions.list().find((one) => one.roleArn === roleArn)?.name ?? roleName;
    return {
      kind: 'role',
      roleArn,
      arn: `arn:aws:sts::${LOCAL_ACCOUNT}:assumed-role/${roleName}/${session}`,
      userId: `AROALOCAL:${session}`,
    };
  }

  /**
   * The same for one call: the principal needs all of these permissions. They must name a resource of every type that
   * the action needs, so that no type is forgotten.
   */
  refusesCall(principal: Principal, permissions: readonly Permission[], region: string): string | undefined {
    if (principal.kind === 'administrator') return undefined;
    for (const permission of permissions) {
      const refusal = this.refuses(principal, permission, region);
      if (refusal !== undefined) return refusal;
    }
    for (const { action } of permissions) {
      const missing = missingType(
        action,
        permissions.filter((one) => one.action === action),
      );
      if (missing !== undefined) {
        return `User: ${principal.arn} is not authorized to perform: ${action} (locally: it also takes a resource of type ${missing}, which this call does not name, see ${AUTHORIZATION_TABLE})`;
      }
    }
    return undefined;
  }

  /** AWS's error message when the principal is not allowed, undefined when it is. */
  refuses(principal: Principal, permission: Permission, region: string): string | undefined {
    if (principal.kind === 'administrator') return undefined;
    const request: AccessRequest = {
      roleArn: principal.roleArn,
      sessionArn: principal.arn,
      action: permission.action,
      resource: permission.resource,
      context: conditionContext(
        {
          'aws:PrincipalArn': principal.roleArn,
          'aws:PrincipalAccount': LOCAL_ACCOUNT,
          'aws:PrincipalType': 'AssumedRole',
          'aws:ResourceAccount': LOCAL_ACCOUNT,
          'aws:RequestedRegion': region,
          // Loopback counts as HTTPS.
          'aws:SecureTransport': 'true',
        },
        permission.context,
      ),
    };
    const policies = this.#policies.of(principal.roleArn) ?? { identity: [] };
    const decision = evaluate(request, {
      ...policies,
      resource: permission.resourcePolicy as PolicyDocument | undefined,
    });
    return decision.allowed ? undefined : refusal(request, decision.why);
  }
}

/** A type that every call of the action needs, and that none of these resources has. */
function missingType(action: string, permissions: readonly Permission[]): string | undefined {
  const authorization = authorizationOf(action);
  const named = permissions.map(({ resource }) => authorization && resourceTypeOf(authorization, resource));
  return authorization?.required.find((type) => !named.includes(type));
}

/** The signer with a key that is not a role's, and AWS itself. */
export const ADMINISTRATOR: Principal = {
  kind: 'administrator',
  arn: `arn:aws:iam::${LOCAL_ACCOUNT}:user/administrator`,
  userId: 'AIDALOCALADMINISTRATOR',
};
